//go:build bootstrap

package stack

import _ "embed"

// `make release` builds them.
var (
	//go:embed program/arm64
	programARM []byte
	//go:embed program/x86_64
	programX86 []byte
)

// Embedded is the functions' program that this program has in it, for an architecture;
// nil for none.
func Embedded(architecture string) []byte {
	switch architecture {
	case ARM:
		return programARM
	case X86:
		return programX86
	}
	return nil
}
