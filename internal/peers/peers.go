// Package peers starts, for integration tests, real servers of what the program talks
// to: each by pinned version, with checksums, installed into .tools/ when it is first
// needed, and ended with the test. A test fails, and is never skipped, when one can't
// be had. It is built with the tag integration only.
package peers
