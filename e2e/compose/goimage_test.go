//go:build e2e

package compose

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// importGoImage makes an image with what the Dockerfile needs of its GO_IMAGE,
// from this machine's own files: the Go toolchain, a shell, mkdir, the roots of
// trust and the project's modules. So the shipped Dockerfile is built as it is
// where no image can be pulled and no module be downloaded.
func importGoImage(t *testing.T, name string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("cannot make a Linux image from the files of %s; set LB_E2E_GO_IMAGE to one that has Go", runtime.GOOS)
	}
	modules := t.TempDir()
	if err := downloadModules(modules); err != nil {
		t.Fatal(err)
	}
	read, write := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := writeRoot(write, modules)
		write.CloseWithError(err)
		made <- err
	}()
	var out bytes.Buffer
	err := pipe(5*time.Minute, nil, read, &out, "docker", "import",
		"--change", "ENV PATH=/usr/local/go/bin:/usr/bin:/bin",
		"--change", "ENV GOPATH=/go",
		"--change", "ENV GOTOOLCHAIN=local",
		"-", name)
	read.Close() // the writer ends too if the engine did not read it all
	if werr := <-made; werr != nil && err != nil {
		err = errors.Join(werr, err)
	}
	if err != nil {
		t.Fatalf("cannot import %s: %v\n%s", name, err, out.String())
	}
}

// writeRoot writes the image's files as a tar archive; modules is a module cache.
func writeRoot(w io.Writer, modules string) error {
	root := &archive{Writer: tar.NewWriter(w)}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("cannot ask for GOROOT: %w", err)
	}
	for _, part := range []string{"bin", "lib", "pkg", "src", "VERSION", "go.env"} {
		root.tree(filepath.Join(strings.TrimSpace(string(goroot)), part), "/usr/local/go/"+part)
	}
	root.program("sh", "/bin/sh")
	root.program("mkdir", "/bin/mkdir")
	root.file("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt")
	root.dir("/tmp")
	// As downloaded, not yet unpacked: so the Dockerfile's own step has its work.
	root.tree(filepath.Join(modules, "cache", "download"), "/go/pkg/mod/cache/download")
	if root.err != nil {
		return root.err
	}
	return root.Close()
}

// archive writes files to a tar archive until the first error.
type archive struct {
	*tar.Writer
	err  error
	seen map[string]bool
}

// file adds what from points to, a symbolic link's target, as to.
func (a *archive) file(from, to string) {
	if a.err != nil || a.seen[to] {
		return
	}
	if a.seen == nil {
		a.seen = map[string]bool{}
	}
	a.seen[to] = true
	a.err = a.copy(from, to)
}

func (a *archive) copy(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: strings.TrimPrefix(to, "/"), Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := a.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(a, f)
	return err
}

func (a *archive) dir(name string) {
	if a.err == nil {
		a.err = a.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(name, "/") + "/", Mode: 0o1777})
	}
}

// tree adds a directory, or a file, but for test data.
func (a *archive) tree(from, to string) {
	if a.err != nil {
		return
	}
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return filepath.SkipDir
		case entry.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		rest, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		a.file(name, path.Join(to, filepath.ToSlash(rest)))
		return a.err
	})
	if a.err == nil {
		a.err = err
	}
}

// program adds a program of this machine and the libraries it is linked to.
func (a *archive) program(name, to string) {
	if a.err != nil {
		return
	}
	from, err := exec.LookPath(name)
	if err != nil {
		a.err = err
		return
	}
	a.file(from, to)
	// ldd fails for a static program, which needs nothing more.
	libraries, _ := exec.Command("ldd", from).Output()
	for _, library := range regexp.MustCompile(`/\S+`).FindAllString(string(libraries), -1) {
		a.file(library, library)
	}
}

// downloadModules fills a module cache in directory with exactly the project's
// modules, from this machine's own cache where that has them.
func downloadModules(directory string) error {
	env, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		return fmt.Errorf("cannot ask for GOMODCACHE: %w", err)
	}
	settings := strings.Fields(string(env))
	own := "file://" + filepath.ToSlash(filepath.Join(settings[0], "cache", "download"))
	out, err := tryEnv(5*time.Minute, []string{
		"GOMODCACHE=" + directory, "GOPROXY=" + own + "," + settings[1],
		"GOFLAGS=-modcacherw", // so that the directory can be removed
	}, "go", "mod", "download")
	if err != nil {
		return fmt.Errorf("cannot download the modules: %w\n%s", err, out)
	}
	return nil
}
