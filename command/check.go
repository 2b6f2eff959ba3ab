package command

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"lb/config"
)

func checkCommand(args []string, s streams) int {
	flags := newFlags("check")
	path := configFlag(flags)
	rest, status, ok := parse(flags, args, 1, s)
	if !ok {
		return status
	}
	if *path == "" && len(rest) == 1 {
		*path = rest[0]
	}
	file, err := findConfig(*path)
	if err != nil {
		fmt.Fprintf(s.err, "lb: %v\n", err)
		return exitFail
	}
	cfg, diags := config.Load(file, append(slices.Clone(s.extensions), config.ShowMisspelt())...)
	if cfg != nil {
		diags = append(diags, checkDomains(cfg, systemLookup, localAddresses())...)
	}
	_ = diags.WriteText(s.err)
	if diags.HasErrors() {
		return exitFail
	}
	fmt.Fprintf(s.out, "%s is valid\n", file)
	return exitOK
}

func fmtCommand(args []string, s streams) int {
	flags := newFlags("fmt")
	check := flags.Bool("check", false, "change nothing; exit 1 if a file is not in canonical style")
	files, status, ok := parse(flags, args, 1000, s)
	if !ok {
		return status
	}
	if len(files) == 0 {
		fmt.Fprintln(s.err, "lb: name the files to rewrite, or \"-\" for standard input: lb fmt lb.hcl")
		return exitUsage
	}
	exit := exitOK
	for _, file := range files {
		changed, err := format(file, *check, s)
		if err != nil {
			fmt.Fprintf(s.err, "lb: %v\n", err)
			exit = exitFail
		} else if changed && *check {
			exit = exitFail
		}
	}
	return exit
}

// format rewrites one file, or copies standard input to output, and reports whether it
// was not in canonical style before.
func format(file string, check bool, s streams) (changed bool, err error) {
	if file == "-" {
		src, err := io.ReadAll(os.Stdin)
		if err != nil {
			return false, fmt.Errorf("cannot read standard input: %w", err)
		}
		out, err := config.Canonical("standard input", src)
		if err != nil {
			return false, err
		}
		_, err = s.out.Write(out)
		return false, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return false, fmt.Errorf("cannot format %q: %w", file, err)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("cannot format %q: %w", file, err)
	}
	out, err := config.Canonical(file, src)
	if err != nil {
		return false, err
	}
	if bytes.Equal(src, out) {
		return false, nil
	}
	fmt.Fprintln(s.out, file)
	if check {
		return true, nil
	}
	if err := os.WriteFile(file, out, info.Mode().Perm()); err != nil {
		return true, fmt.Errorf("cannot rewrite %q: %w", file, err)
	}
	return true, nil
}
