package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"burstlet.io/test/cluster/internal/oci"
)

// Tags as `e2e.test --list-images` of Kubernetes 1.37.2 tells them.
const (
	agnhostTag, agnhostBefore = "2.66.1", "2.55"
	busyboxTag                = "1.37.0-2"
	nginxTag, nginxNewTag     = "1.27.0-2", "1.28.0-2"
)

const wideGroup = 50000

// makeConformance makes the images of Kubernetes' own end-to-end suite out of Debian's packages:
// the names and tags are the suite's, and what its specs look for is there. The shell is bash:
// busybox's would run its own nc instead of the image's. Only the image busybox has busybox's shell, by
// way of test/conformance/sh.c.
func makeConformance(store *oci.Store, in inputs) ([]oci.Image, error) {
	m := &maker{store: store, in: in}
	entries, err := busyboxEntries(in.busybox)
	if err != nil {
		return nil, err
	}
	entries = withBash(entries)
	m.base = m.layer(oci.Gzip, entries...)

	m.add("busybox", busyboxTag, oci.Docker, shell, m.base,
		m.layer(oci.Gzip, oci.Program("bin/sh", filepath.Join(in.programs, "sh"))))
	m.add("pause", "3.10.2", oci.Docker,
		oci.Config{User: "65535:65535", Env: []string{path}, Entrypoint: []string{"/pause"}},
		m.layer(oci.Gzip, m.program("pause")))
	m.agnhosts()
	m.add("nonewprivs", "1.4", oci.OCI, oci.Config{Env: []string{path}, Cmd: []string{"nnp"}},
		m.base, m.layer(oci.Gzip, oci.Entry{
			Path: "usr/local/bin/nnp", Mode: 0o6755, From: filepath.Join(in.conformance, "nonewprivs"),
		}))
	m.add("nonroot", "1.5", oci.OCI,
		oci.Config{User: "1234", Env: []string{path}, Cmd: []string{"sh"}}, m.base)
	for name, picture := range map[string]string{"kitten": "kitten.jpg", "nautilus": "nautilus.jpg"} {
		m.picture(name, picture)
	}
	tools := m.debian("curl", "dig", "nslookup", "host")
	m.add("glibc-dns-testing", "2.1.1", oci.OCI, shell, m.base, tools)
	m.add("ipc-utils", "1.4", oci.OCI, shell, m.base, m.debian("ipcs", "ipcmk", "ipcrm"))
	m.nginx()
	slices.SortFunc(m.images, func(a, b oci.Image) int {
		return strings.Compare(a.Name+a.Tag, b.Name+b.Tag)
	})
	return m.images, m.err
}

// withBash makes bash, a static one, the shell of a busybox system.
func withBash(entries []oci.Entry) []oci.Entry {
	entries = slices.DeleteFunc(entries, func(e oci.Entry) bool {
		return e.Path == "bin/sh" || e.Path == "bin/bash"
	})
	return append(entries, oci.Program("bin/bash", "/bin/bash-static"),
		oci.Hardlink("bin/sh", "bin/bash"))
}

// agnhosts makes agnhost under its two tags, with the registry that its fake-registry-server serves.
func (m *maker) agnhosts() {
	const user = 1000
	files := []oci.Entry{
		oci.Program("agnhost", m.in.agnhost), oci.Symlink("agnhost-2", "agnhost"),
		oci.Dir("uploads", 0o755),
		m.copied("localhost.crt", "agnhost/porter/localhost.crt"),
		m.copied("localhost.key", "agnhost/porter/localhost.key"),
		oci.File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"+
			"nobody:x:65534:65534:nobody:/home:/bin/false\n"+
			fmt.Sprintf("user-defined-in-image:x:%d:%d::/home/user-defined-in-image:/bin/sh\n", user, user)),
		oci.File("etc/group", "root:x:0:\nnogroup:x:65534:\n"+
			fmt.Sprintf("user-defined-in-image:x:%d:\n", user)+
			fmt.Sprintf("group-defined-in-image:x:%d:user-defined-in-image\n", wideGroup)),
		{Path: "home/user-defined-in-image/", Type: tar.TypeDir, Mode: 0o755, Uid: user, Gid: user},
	}
	tools := m.debian("curl", "dig", "nslookup", "host", "nc.openbsd", "ip", "ss", "iptables",
		"ip6tables", "iptables-save", "ip6tables-save", "iptables-restore", "socat", "nsenter",
		"unshare", "lsns")
	links := m.layer(oci.Gzip, oci.Symlink("usr/bin/nc", "nc.openbsd"))
	program := m.layer(oci.Gzip, files...)
	content := m.layer(oci.Gzip, m.servedRegistry()...)
	config := oci.Config{
		Env:        []string{path},
		Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "5000/tcp": {}, "8080/tcp": {},
			"8081/tcp": {}, "9376/tcp": {}},
	}
	for _, tag := range []string{agnhostTag, agnhostBefore} {
		config.Labels = map[string]string{"version": tag} // so that they are two images
		m.add("agnhost", tag, oci.Docker, config, m.base, tools, links, program, content)
	}
}

// servedRegistry is /var/registry of agnhost: pause:3.10.2 as pause:testing, laid out as its
// fake-registry-server reads it.
func (m *maker) servedRegistry() []oci.Entry {
	if m.err != nil {
		return nil
	}
	at := slices.IndexFunc(m.images, func(i oci.Image) bool { return i.Name == "pause" })
	pause := m.images[at].Top
	top, err := m.store.AddIndex(oci.Docker, []oci.Descriptor{pause})
	if err != nil {
		m.err = err
		return nil
	}
	const folder = "var/registry/pause"
	entries := []oci.Entry{
		oci.Dir("var/registry", 0o755), oci.Dir(folder, 0o755),
		oci.Dir(folder+"/blobs", 0o755), oci.Dir(folder+"/manifests", 0o755),
		oci.File(folder+"/manifests/testing", top.Digest+"\n"),
	}
	put := func(kind, digest string) []byte {
		data, err := m.store.Get(digest)
		if err != nil && m.err == nil {
			m.err = err
		}
		hash := strings.TrimPrefix(digest, "sha256:")
		entries = append(entries, oci.Entry{
			Path: filepath.Join(folder, kind, "sha256", hash[:2], hash, "data"), Mode: 0o644, Data: data,
		})
		return data
	}
	put("manifests", top.Digest)
	var manifest struct {
		Config oci.Descriptor   `json:"config"`
		Layers []oci.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(put("manifests", pause.Digest), &manifest); err != nil && m.err == nil {
		m.err = err
	}
	if m.err != nil {
		return nil
	}
	for _, blob := range append(manifest.Layers, manifest.Config) {
		put("blobs", blob.Digest)
	}
	return entries
}

// picture is an image of agnhost that serves one picture; the suite also mounts it as a volume and
// reads os-release, by which it means Alpine's.
func (m *maker) picture(name, picture string) {
	m.add(name, "1.8", oci.Docker,
		oci.Config{Env: []string{path}, Entrypoint: []string{"/agnhost"}, Cmd: []string{"test-webserver"}},
		m.base, m.layer(oci.Gzip,
			oci.Program("agnhost", m.in.agnhost),
			m.copied(picture, filepath.Join(name, "html", picture)),
			m.copied("data.json", filepath.Join(name, "html/data.json")),
			oci.File("etc/os-release", "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.23.0\n"+
				"PRETTY_NAME=\"Alpine Linux v3.23\"\n")))
}

func (m *maker) nginx() {
	const settings = `user root;
daemon off;
worker_processes 1;
error_log /dev/stderr;
pid /run/nginx.pid;
events {}
http {
  access_log off;
  server { listen 80; listen [::]:80; root /usr/share/nginx/html; }
}
`
	program := m.debian("nginx")
	site := m.layer(oci.Gzip, oci.Dir("run", 0o755), oci.Dir("var/log/nginx", 0o755),
		oci.Dir("var/lib/nginx", 0o755), oci.File("etc/nginx/nginx.conf", settings),
		oci.File("usr/share/nginx/html/index.html", "Welcome to nginx!\n"))
	for _, tag := range []string{nginxTag, nginxNewTag} {
		m.add("nginx", tag, oci.Docker, oci.Config{
			Labels: map[string]string{"version": tag},
			Env:    []string{path}, Cmd: []string{"nginx"}, StopSignal: "SIGQUIT",
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
		}, m.base, program, site)
	}
}

// copied is a file of test/images of Kubernetes' own tree.
func (m *maker) copied(name, source string) oci.Entry {
	return oci.Entry{Path: name, Mode: 0o644, From: filepath.Join(m.in.kubernetes, "test/images", source)}
}

// debian is a layer of programs of this machine and all that they load.
func (m *maker) debian(names ...string) oci.Layer {
	if m.err != nil {
		return oci.Layer{}
	}
	var entries []oci.Entry
	seen := map[string]bool{}
	add := func(file string) {
		if !seen[file] {
			seen[file] = true
			entries = append(entries, oci.Program(strings.TrimPrefix(file, "/"), file))
		}
	}
	for _, name := range names {
		file, err := exec.LookPath(name)
		if err != nil {
			m.err = err
			return oci.Layer{}
		}
		add(file)
		m.libraries(file, add)
	}
	if slices.Contains(names, "iptables") {
		// Its matches and targets are loaded by name.
		modules, _ := filepath.Glob("/usr/lib/*-linux-gnu/xtables/*.so")
		for _, module := range modules {
			add(module)
		}
	}
	return m.layer(oci.Gzip, entries...)
}

var libraryPath = regexp.MustCompile(`(?m)(?:^\s*|=> )(/\S+) \(0x`)

// libraries tells add the paths of the shared libraries of a program, and of the loader.
func (m *maker) libraries(file string, add func(string)) {
	listing, err := exec.Command("ldd", file).CombinedOutput()
	if err != nil && !strings.Contains(string(listing), "not a dynamic executable") {
		m.err = fmt.Errorf("ldd %s: %w: %s", file, err, listing)
	}
	for _, match := range libraryPath.FindAllSubmatch(listing, -1) {
		library := string(match[1])
		if _, err := os.Stat(library); err != nil {
			m.err = err
			return
		}
		add(library)
	}
}
