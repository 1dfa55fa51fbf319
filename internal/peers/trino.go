//go:build integration

package peers

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/query"
)

// trinoVersion is the newest Trino whose hive connector and all that it needs are on
// Maven Central as single files, and which runs on Java 17. Athena's engine 3 is of
// the same family and age.
const trinoVersion = "411"

// trinoSum lists the files: SHA-256, where they belong (the server, the hive plugin,
// or both), path on Maven Central. Made by `mvn dependency:copy-dependencies
// -DincludeScope=runtime` of io.trino:trino-main and io.trino:trino-hive, without
// trino-spi in the plugin (the server's own counts) and the caches alluxio and rubix
// (which are off).
//
//go:embed trino.sum
var trinoSum string

// mavenCentral is where Java packages come from.
const mavenCentral = "https://repo1.maven.org/maven2/"

// The two classes that Maven Central lacks: the program's main, and the plugin's entry.
const (
	trinoMain = `public class Main {
    public static void main(String[] args) {
        new io.trino.server.Server().start(args[0]);
    }
}
`
	trinoPlugin = `import io.trino.plugin.hive.HiveConnectorFactory;
import io.trino.spi.Plugin;
import io.trino.spi.connector.ConnectorFactory;

public class HivePlugin implements Plugin {
    @Override
    public Iterable<ConnectorFactory> getConnectorFactories() {
        return java.util.List.of(new HiveConnectorFactory());
    }
}
`
)

// TrinoOptions says what a Trino server has.
type TrinoOptions struct {
	Database string
	// Tables of the database, as Glue has them.
	Tables []query.Table
	// S3 is the URL of the S3 server of their locations, as S3 returned it.
	S3 string
}

// TrinoServer is a running Trino with one catalog, over an emulated Glue Data Catalog.
type TrinoServer struct {
	url, database string
	client        *http.Client
}

// Trino installs Trino (once, into .tools/) and starts it; it ends with the test. The
// test fails when that can't be done. It takes 20 seconds and 2 GB of memory.
func Trino(tb testing.TB, o TrinoOptions) *TrinoServer {
	tb.Helper()
	dir, err := installTrino(tb.Context())
	if err != nil {
		tb.Fatalf("install Trino %s: %v", trinoVersion, err)
	}
	s, stop, err := startTrino(tb.Context(), dir, tb.TempDir(), serveGlue(tb, o.Database, o.Tables), o)
	if err != nil {
		tb.Fatalf("start Trino %s: %v", trinoVersion, err)
	}
	tb.Cleanup(stop)
	return s
}

// installTrino downloads what is missing, checks it and returns the folder.
func installTrino(ctx context.Context) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	for _, program := range []string{"java", "javac"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%w: install a JDK of Java 17 or later", err)
		}
	}
	sum := sha256.Sum256([]byte(trinoSum + trinoMain + trinoPlugin))
	dir := filepath.Join(root, ".tools", "trino-"+trinoVersion+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // it was checked before it got this name
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "trino-new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }() // nothing is left of it when all went well
	for _, d := range []string{"lib", "plugin/hive", "classes"} {
		if err := os.MkdirAll(filepath.Join(temp, d), 0o755); err != nil {
			return "", err
		}
	}
	var loading errgroup.Group
	loading.SetLimit(8)
	for line := range strings.Lines(trinoSum) {
		field := strings.Fields(line)
		loading.Go(func() error {
			data, err := download(ctx, mavenCentral+field[2], field[0])
			if err != nil {
				return err
			}
			name := filepath.Base(field[2])
			if strings.Contains(field[1], "main") {
				err = os.WriteFile(filepath.Join(temp, "lib", name), data, 0o644)
			}
			if strings.Contains(field[1], "hive") {
				err = errors.Join(err, os.WriteFile(filepath.Join(temp, "plugin", "hive", name), data, 0o644))
			}
			return err
		})
	}
	if err := loading.Wait(); err != nil {
		return "", err
	}
	if err := compileTrino(ctx, temp); err != nil {
		return "", err
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, serr := os.Stat(dir); serr == nil {
			return dir, nil // another process was quicker
		}
		return "", err
	}
	return dir, nil
}

// download fetches a file and checks it, three times at most.
func download(ctx context.Context, url, sum string) (data []byte, err error) {
	for attempt := range 3 {
		if attempt > 0 {
			time.Sleep(time.Duration(attempt) * 2 * time.Second)
		}
		if data, err = fetch(ctx, url); err == nil {
			got := sha256.Sum256(data)
			if hex.EncodeToString(got[:]) == sum {
				return data, nil
			}
			err = fmt.Errorf("%s: the SHA-256 is %x, not %s", url, got, sum)
		}
	}
	return nil, err
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return data, nil
}

// compileTrino adds the two classes; the plugin's goes into a file with the name by
// which the server finds it.
func compileTrino(ctx context.Context, dir string) error {
	plugin := filepath.Join(dir, "plugin", "hive")
	for _, c := range []struct{ name, source, path, out string }{
		{"Main", trinoMain, filepath.Join(dir, "lib", "*"), filepath.Join(dir, "classes")},
		{"HivePlugin", trinoPlugin, filepath.Join(plugin, "*") + string(os.PathListSeparator) + filepath.Join(dir, "lib", "*"), dir},
	} {
		source := filepath.Join(dir, c.name+".java")
		if err := os.WriteFile(source, []byte(c.source), 0o644); err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, "javac", "-proc:none", "-cp", c.path, "-d", c.out, source).CombinedOutput()
		if err != nil {
			return fmt.Errorf("compile %s: %w: %s", c.name, err, out)
		}
	}
	class, err := os.ReadFile(filepath.Join(dir, "HivePlugin.class"))
	if err != nil {
		return err
	}
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	for _, f := range []struct {
		name string
		data []byte
	}{{"META-INF/services/io.trino.spi.Plugin", []byte("HivePlugin\n")}, {"HivePlugin.class", class}} {
		part, err := w.Create(f.name)
		if err != nil {
			return err
		}
		if _, err := part.Write(f.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(plugin, "iamtrack-plugin.jar"), jar.Bytes(), 0o644)
}

// startTrino starts a server that is installed in dir, with its files in work, and
// waits until it answers.
func startTrino(ctx context.Context, dir, work, glue string, o TrinoOptions) (*TrinoServer, func(), error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &TrinoServer{url: "http://127.0.0.1:" + port, database: o.Database, client: &http.Client{Transport: &http.Transport{}}} // no proxy
	hive := map[string]string{
		"connector.name":                     "hive",
		"hive.metastore":                     "glue",
		"hive.s3.endpoint":                   o.S3,
		"hive.s3.path-style-access":          "true",
		"hive.s3.ssl.enabled":                "false",
		"hive.s3.aws-access-key":             AccessKeyID,
		"hive.s3.aws-secret-key":             SecretAccessKey,
		"hive.metastore.glue.endpoint-url":   glue,
		"hive.metastore.glue.region":         "us-east-1",
		"hive.metastore.glue.aws-access-key": "AKIDTEST",
		"hive.metastore.glue.aws-secret-key": "test",
		"hive.partition-projection-enabled":  "true",
		"hive.ignore-absent-partitions":      "true", // as Athena does
		"hive.timestamp-precision":           "MILLISECONDS",
		"hive.max-partitions-per-scan":       "1000000", // Athena knows no such limit
		"hive.max-partitions-for-eager-load": "1000",
	}
	server := map[string]string{
		"node.environment":                   "test",
		"node.id":                            "one",
		"coordinator":                        "true",
		"node-scheduler.include-coordinator": "true",
		"http-server.http.port":              port,
		"discovery.uri":                      s.url,
		"plugin.dir":                         filepath.Join(dir, "plugin"),
		"catalog.config-dir":                 filepath.Join(work, "catalog"),
		"query.max-memory":                   "600MB",
		"query.max-memory-per-node":          "600MB",
	}
	if err := os.MkdirAll(filepath.Join(work, "catalog"), 0o700); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(properties(filepath.Join(work, "catalog", "hive.properties"), hive), properties(filepath.Join(work, "config.properties"), server)); err != nil {
		return nil, nil, err
	}
	logName := filepath.Join(work, "server.log")
	log, err := os.Create(logName)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = log.Close() }()                                                   // the server has its own
	cmd := exec.Command("java", "-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", //nolint:noctx // it ends with stop
		"-XX:ReservedCodeCacheSize=512M", // as Trino recommends: each query compiles classes of its own
		"-Duser.timezone=UTC",            // as Athena's
		"-Djdk.attach.allowAttachSelf=true", "--add-opens=java.base/java.nio=ALL-UNNAMED",
		"-Dconfig="+filepath.Join(work, "config.properties"),
		"-cp", filepath.Join(dir, "classes")+string(os.PathListSeparator)+filepath.Join(dir, "lib", "*"), "Main", trinoVersion)
	cmd.Dir, cmd.Stdout, cmd.Stderr = work, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also when the test is killed
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	ended, gone := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- cmd.Wait()
		close(gone)
	}()
	stop := func() {
		_ = cmd.Process.Kill() // it has nothing to save
		<-gone
	}
	limit := time.After(3 * time.Minute)
	for {
		select {
		case err := <-ended:
			return nil, nil, fmt.Errorf("it ended (%w):\n%s", err, tail(logName))
		case <-limit:
			stop()
			return nil, nil, fmt.Errorf("no answer within 3 minutes:\n%s", tail(logName))
		case <-time.After(300 * time.Millisecond):
		}
		if rows, err := s.Query(ctx, "SELECT 1"); err == nil {
			return s, stop, rows.Close()
		}
	}
}

// properties writes a Java properties file.
func properties(path string, values map[string]string) error {
	var b strings.Builder
	for k, v := range values {
		b.WriteString(k + "=" + v + "\n")
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
