package main

import (
	"archive/tar"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"burstlet.io/test/cluster/internal/oci"
)

// inputs are files of this machine.
type inputs struct {
	programs, agnhost, busybox string
	// Of the conformance images only: programs of test/addons/conformance, Kubernetes' own tree.
	conformance, kubernetes string
}

type maker struct {
	store  *oci.Store
	in     inputs
	base   oci.Layer
	images []oci.Image
	err    error // the first failure; everything after it does nothing
}

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var shell = oci.Config{Env: []string{path}, Cmd: []string{"sh"}}

// makeAll makes every image; test/images/README.md lists them with their purpose.
func makeAll(store *oci.Store, in inputs) ([]oci.Image, error) {
	m := &maker{store: store, in: in}
	entries, err := busyboxEntries(in.busybox)
	if err != nil {
		return nil, err
	}
	m.base = m.layer(oci.Gzip, entries...)

	m.add("busybox", "1", oci.Docker, shell, m.base)
	m.add("busybox", "latest", oci.Docker, shell, m.base)
	m.add("pause", "3.10", oci.Docker,
		oci.Config{User: "65535:65535", Env: []string{path}, Entrypoint: []string{"/pause"}},
		m.layer(oci.Gzip, m.program("pause")))
	web := m.layer(oci.Gzip, m.program("web"))
	for _, version := range []string{"1", "2"} {
		m.add("web", version, oci.OCI, oci.Config{
			Env: []string{path, "VERSION=" + version}, Entrypoint: []string{"/web"},
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
		}, m.base, web)
	}
	m.add("agnhost", "1", oci.Docker,
		oci.Config{Env: []string{path}, Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
		m.base, m.layer(oci.Gzip, oci.Program("agnhost", in.agnhost),
			oci.Symlink("agnhost-2", "agnhost")))
	m.add("tools", "1", oci.OCI, shell, m.base,
		m.layer(oci.Gzip, m.program("eat"), m.program("show"), m.program("witness")))
	m.configured()
	m.compressions()
	m.filesystem()
	m.manyLayers(130)
	m.multiArch("oci", oci.OCI)
	m.multiArch("docker", oci.Docker)
	return m.images, m.err
}

// configured has every field of the configuration set.
func (m *maker) configured() {
	users := m.layer(oci.Gzip,
		oci.File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"+
			"tester:x:1234:2345:tester:/home/tester:/bin/sh\n"),
		oci.File("etc/group", "root:x:0:\ntesters:x:2345:\nextra:x:3456:tester\n"),
		oci.Entry{Path: "home/tester/", Type: tar.TypeDir, Mode: 0o755, Uid: 1234, Gid: 2345},
		m.program("show"))
	m.add("configured", "1", oci.OCI, oci.Config{
		User:       "tester",
		Env:        []string{path, "FROM_IMAGE=yes", "WITH_SPACE=a b", "EMPTY="},
		Entrypoint: []string{"/show", "from-entrypoint"},
		Cmd:        []string{"from-cmd", "two words"},
		WorkingDir: "/home/tester/new/work",
		Labels:     map[string]string{"io.burstlet.test": "yes"},
		Volumes:    map[string]struct{}{"/data": {}},
		StopSignal: "SIGUSR1",
	}, m.base, users)
	m.add("nonroot", "1", oci.OCI, oci.Config{
		User: "1234", Env: []string{path}, Entrypoint: []string{"/show"}, StopSignal: "12",
	}, m.base, users)
}

func (m *maker) compressions() {
	for tag, compression := range map[string]oci.Compression{
		"gzip": oci.Gzip, "zstd": oci.Zstd, "plain": oci.Plain,
	} {
		m.add("compression", tag, oci.OCI, shell, m.base,
			m.layer(compression, oci.File("compression", tag+"\n")))
	}
}

// filesystem has what layers can do to one another: after its four layers /t holds kept, replaced
// ("new"), opaque/only, moved-to-dir/file, linked (same inode as kept), and nothing else.
func (m *maker) filesystem() {
	first := m.layer(oci.Gzip,
		oci.Dir("t", 0o755), oci.File("t/kept", "kept\n"), oci.File("t/removed", "old\n"),
		oci.File("t/replaced", "old\n"), oci.File("t/moved-to-dir", "file\n"),
		oci.Dir("t/gone", 0o755), oci.File("t/gone/file", "old\n"),
		oci.Dir("t/opaque", 0o755), oci.File("t/opaque/hidden", "old\n"))
	second := m.layer(oci.Gzip,
		oci.File("t/.wh.removed", ""), oci.File("t/.wh.gone", ""), oci.File("t/replaced", "new\n"),
		oci.Dir("t/opaque", 0o700), oci.File("t/opaque/.wh..wh..opq", ""),
		oci.File("t/opaque/only", "new\n"))
	third := m.layer(oci.Gzip,
		oci.Dir("t/moved-to-dir", 0o755), oci.File("t/moved-to-dir/file", "in a directory\n"),
		oci.File("t/original", "linked\n"), oci.Hardlink("t/linked", "t/original"))
	fourth := m.layer(oci.Gzip,
		oci.Entry{Path: "t/setuid", Mode: 0o4755, Data: []byte("x")},
		oci.Entry{Path: "t/owned", Mode: 0o640, Uid: 1234, Gid: 2345, Data: []byte("x")},
		oci.Dir("t/sticky", 0o1777), oci.Symlink("t/absolute", "/t/kept"),
		oci.Entry{
			Path: "t/capable", Mode: 0o755, Data: []byte("x"),
			// cap_net_raw+ep, revision 2.
			Xattr: map[string]string{"security.capability": "\x01\x00\x00\x02" +
				"\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		},
		oci.Entry{Path: "t/xattr", Mode: 0o644, Data: []byte("x"),
			Xattr: map[string]string{"user.burstlet": "value"}})
	m.add("filesystem", "1", oci.Docker, shell, m.base, first, second, third, fourth)
}

// manyLayers adds one file a layer, and each layer removes the file of the one ten before.
func (m *maker) manyLayers(count int) {
	layers := []oci.Layer{m.base}
	for i := 1; i < count; i++ {
		entries := []oci.Entry{oci.File(fmt.Sprintf("layers/%d", i), fmt.Sprintf("%d\n", i))}
		if i > 10 {
			entries = append(entries, oci.File(fmt.Sprintf("layers/.wh.%d", i-10), ""))
		}
		layers = append(layers, m.layer(oci.Gzip, entries...))
	}
	m.add("layers", fmt.Sprint(count), oci.OCI, shell, layers...)
}

// multiArch is an index whose first entries are not for this machine: another architecture, and
// a build's attestation as tools add it.
func (m *maker) multiArch(tag string, family oci.Family) {
	foreign := oci.Platform{Architecture: "arm64", OS: "linux", Variant: "v8"}
	if oci.Host().Architecture == "arm64" {
		foreign = oci.Platform{Architecture: "amd64", OS: "linux"}
	}
	children := []oci.Descriptor{
		m.manifest(family, foreign, oci.Config{Cmd: []string{"/foreign"}},
			m.layer(oci.Gzip, oci.File("foreign", "not for this machine\n"))),
		m.manifest(family, oci.Platform{Architecture: "unknown", OS: "unknown"}, oci.Config{},
			m.layer(oci.Gzip, oci.File("attestation", "{}\n"))),
		m.manifest(family, oci.Host(), shell, m.base,
			m.layer(oci.Gzip, oci.File("native", tag+"\n"))),
	}
	if m.err != nil {
		return
	}
	top, err := m.store.AddIndex(family, children)
	m.err = err
	m.images = append(m.images,
		oci.Image{Name: "multiarch", Tag: tag, Top: top, Children: children})
}

func (m *maker) program(name string) oci.Entry {
	return oci.Program(name, filepath.Join(m.in.programs, name))
}

func (m *maker) layer(compression oci.Compression, entries ...oci.Entry) oci.Layer {
	if m.err != nil {
		return oci.Layer{}
	}
	layer, err := m.store.AddLayer(compression, entries)
	m.err = err
	return layer
}

func (m *maker) manifest(f oci.Family, p oci.Platform, c oci.Config,
	layers ...oci.Layer) oci.Descriptor {
	if m.err != nil {
		return oci.Descriptor{}
	}
	descriptor, err := m.store.AddManifest(f, p, c, layers)
	m.err = err
	return descriptor
}

func (m *maker) add(name, tag string, f oci.Family, c oci.Config, layers ...oci.Layer) {
	top := m.manifest(f, oci.Host(), c, layers...)
	m.images = append(m.images, oci.Image{Name: name, Tag: tag, Top: top})
}

// busyboxEntries is a small system: busybox under all its names, users, the usual folders.
func busyboxEntries(busybox string) ([]oci.Entry, error) {
	names, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", busybox, err)
	}
	entries := []oci.Entry{
		oci.Dir("bin", 0o755), oci.Program("bin/busybox", busybox),
		oci.Dir("etc", 0o755), oci.Dir("home", 0o755), oci.Dir("root", 0o700),
		oci.Dir("tmp", 0o1777), oci.Dir("usr", 0o755), oci.Dir("usr/bin", 0o755),
		oci.Dir("usr/sbin", 0o755), oci.Dir("var", 0o755), oci.Symlink("sbin", "bin"),
		oci.File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"+
			"nobody:x:65534:65534:nobody:/home:/bin/false\n"),
		oci.File("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
		oci.File("etc/os-release", "NAME=\"burstlet test image\"\nID=test\n"),
	}
	for _, name := range strings.Fields(string(names)) {
		if name != "busybox" {
			entries = append(entries, oci.Hardlink("bin/"+name, "bin/busybox"))
		}
	}
	return append(entries, oci.Symlink("usr/bin/env", "/bin/env")), nil
}
