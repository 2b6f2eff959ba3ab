package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// callError is why a function of the configuration language failed.
type callError struct {
	summary, remedy string
	quotes          string // the argument, if summary and remedy quote it
}

func (e *callError) Error() string { return e.summary }

// withoutArgument returns the error without its argument if that is secret.
func (e *callError) withoutArgument(secret bool) *callError {
	if !secret || e.quotes == "" {
		return e
	}
	return &callError{summary: strings.ReplaceAll(e.summary, e.quotes, "…"), remedy: strings.ReplaceAll(e.remedy, e.quotes, "…")}
}

// functions returns the functions for expressions in a file of that directory.
func functions(directory string) *hcl.EvalContext {
	return &hcl.EvalContext{Functions: map[string]function.Function{
		"env":  envFunction(),
		"file": fileFunction(directory),
	}}
}

// envFunction is env("NAME") and env("NAME", "default").
func envFunction() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if len(args) > 2 {
				return cty.NilVal, &callError{"env takes a name and at most one default",
					fmt.Sprintf("Write env(%q) or env(%q, \"default\").", name, name), name}
			}
			if value, ok := os.LookupEnv(name); ok {
				return cty.StringVal(value), nil
			}
			if len(args) == 2 {
				return args[1], nil
			}
			return cty.NilVal, &callError{fmt.Sprintf("the environment variable %s is not set", name),
				fmt.Sprintf("Set it before lb starts, or add a default: env(%q, \"default\")", name), name}
		},
	})
}

// fileFunction is file("path").
func fileFunction(directory string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			path := under(directory, args[0].AsString())
			text, err := readRegular(path)
			if err == nil && !utf8.Valid(text) {
				err = errors.New("it is not UTF-8 text")
			}
			if err != nil {
				return cty.NilVal, &callError{fmt.Sprintf("cannot read file %q: %v", path, bare(err)),
					"Name a text file that this user may read; a relative path starts at the configuration's directory.", path}
			}
			return cty.StringVal(string(text)), nil
		},
	})
}

// under returns a path in a file of that directory as seen from the working directory.
func under(directory, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(directory, path)
}

// readRegular reads a file of at most maxSource bytes. It does not open pipes or devices, which could block or never
// end.
func readRegular(path string) ([]byte, error) { return readLarge(path, maxSource) }

// readLarge is readRegular for a file of at most that many bytes.
func readLarge(path string, most int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("it is larger than %d MiB", most>>20)
	}
	return text, err
}
