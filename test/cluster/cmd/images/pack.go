package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"burstlet.io/test/cluster/internal/oci"
)

// pack makes one image of files of this machine, with the shared libraries of the programs among
// them, and pushes it. SOURCE is a file or a folder; without DEST it keeps its path.
func pack(args []string) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	to := flags.String("to", "", "http:// or https:// address of a registry")
	name := flags.String("name", "", "NAME:TAG")
	entrypoint := flags.String("entrypoint", "", "path of the program in the image")
	if err := flags.Parse(args); err != nil {
		return err
	}
	image, tag, tagged := strings.Cut(*name, ":")
	if *to == "" || !tagged || flags.NArg() == 0 {
		return fmt.Errorf("pack: --to, --name NAME:TAG and files are needed")
	}
	files := map[string]string{} // path in the image -> file of this machine
	for _, argument := range flags.Args() {
		source, dest, given := strings.Cut(argument, "=")
		if !given {
			dest = source
		}
		if err := gather(files, source, dest); err != nil {
			return err
		}
	}
	if err := libraries(files); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "burstlet-pack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store := &oci.Store{Dir: dir}
	layer, err := store.AddLayer(oci.Gzip, packed(files))
	if err != nil {
		return err
	}
	config := oci.Config{Env: []string{path}}
	if *entrypoint != "" {
		config.Entrypoint = []string{*entrypoint}
	}
	top, err := store.AddManifest(oci.OCI, oci.Host(), config, []oci.Layer{layer})
	if err != nil {
		return err
	}
	registry, err := oci.NewRegistry(*to, "", "")
	if err != nil {
		return err
	}
	return registry.Push(store, oci.Image{Name: image, Tag: tag, Top: top}, image)
}

// packed is the files' entries with the folders above them, in an order that depends on nothing else.
func packed(files map[string]string) []oci.Entry {
	folders := map[string]bool{"tmp": true}
	for dest := range files {
		for at := filepath.Dir(dest); at != "/"; at = filepath.Dir(at) {
			folders[strings.TrimPrefix(at, "/")] = true
		}
	}
	var entries []oci.Entry
	for folder := range folders {
		mode := int64(0o755)
		if folder == "tmp" {
			mode = 0o1777
		}
		entries = append(entries, oci.Dir(folder, mode))
	}
	for dest, source := range files {
		entries = append(entries, oci.Program(strings.TrimPrefix(dest, "/"), source))
	}
	slices.SortFunc(entries, func(a, b oci.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries
}

// gather adds what is at source, links followed.
func gather(files map[string]string, source, dest string) error {
	real, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	return filepath.WalkDir(real, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		below, err := filepath.Rel(real, at)
		if err != nil {
			return err
		}
		files[filepath.Join(dest, below)] = at
		return nil
	})
}

// "NAME => PATH (ADDRESS)" or "PATH (ADDRESS)".
var library = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

// libraries adds the shared libraries of all programs and libraries among the files.
func libraries(files map[string]string) error {
	// Its status is 1 when one of them is static or a text, which is no failure.
	command := exec.Command("ldd", slices.Sorted(maps.Values(files))...)
	answer, err := command.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return err
	}
	if strings.Contains(string(answer), "=> not found") {
		return fmt.Errorf("libraries are missing:\n%s", answer)
	}
	for _, match := range library.FindAllStringSubmatch(string(answer), -1) {
		files[match[1]] = match[1]
	}
	return nil
}
