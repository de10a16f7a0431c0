package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"burstlet.io/test/cluster/internal/pki"
	"burstlet.io/test/cluster/internal/supervise"
)

var registryFiles = []string{"config.yml", "htpasswd", "pki", "data", "url", "token.json"}

// registryUp runs Debian's docker-registry. DIR/url holds its address, DIR/pki/ca.crt its
// authority when --tls is given.
func registryUp(args []string) error {
	flags := flag.NewFlagSet("registry up", flag.ContinueOnError)
	ip := flags.String("ip", "127.0.0.1", "address to listen on")
	port := flags.Int("port", 0, "port; 0 takes a free one")
	useTLS := flags.Bool("tls", false, "serve HTTPS with a certificate of an authority of its own")
	hosts := flags.String("hosts", "", "further names in the certificate, comma-separated")
	login := flags.String("htpasswd", "", "USER:PASSWORD that every request needs")
	token := flags.String("token", "", "USER:PASSWORD for a token service of its own (bearer login);"+
		" public/* may be pulled without")
	owner := flags.Int("owner", 0, "process whose end ends the registry")
	positional, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	dir := positional[0]
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return fmt.Errorf("%w (Debian package docker-registry)", err)
	}
	if err := freshDir(dir); err != nil {
		return err
	}
	if *port == 0 {
		listener, err := net.Listen("tcp", net.JoinHostPort(*ip, "0"))
		if err != nil {
			return err
		}
		*port = listener.Addr().(*net.TCPAddr).Port
		listener.Close()
	}
	address := net.JoinHostPort(*ip, strconv.Itoa(*port))
	url := "http://" + address
	config := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http:
  addr: %s
`, filepath.Join(dir, "data"), address)
	if *useTLS {
		url = "https://" + address
		folder := filepath.Join(dir, "pki")
		ca, err := pki.NewCA(folder, "ca", "burstlet-test-registry-ca")
		if err != nil {
			return err
		}
		names := append([]string{*ip, "127.0.0.1", "localhost"}, strings.Split(*hosts, ",")...)
		if _, err := ca.IssueTo(folder, "registry", pki.Leaf{Name: *ip, Hosts: names}); err != nil {
			return err
		}
		config += fmt.Sprintf("  tls: {certificate: %q, key: %q}\n",
			filepath.Join(folder, "registry.crt"), filepath.Join(folder, "registry.key"))
	}
	if *login != "" {
		name, password, found := strings.Cut(*login, ":")
		if !found {
			return fmt.Errorf("--htpasswd: USER:PASSWORD expected")
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(path, []byte(name+":"+string(hash)+"\n"), 0o600); err != nil {
			return err
		}
		config += fmt.Sprintf("auth:\n  htpasswd: {realm: test, path: %q}\n", path)
	}
	components := []supervise.Component{{
		Name: "registry",
		Argv: []string{program, "serve", filepath.Join(dir, "config.yml")},
		Env:  []string{"OTEL_TRACES_EXPORTER=none"},
	}}
	if *token != "" {
		auth, err := setUpTokens(dir, *ip, *token, *useTLS)
		if err != nil {
			return err
		}
		config += auth
		self, err := os.Executable()
		if err != nil {
			return err
		}
		components = append(components, supervise.Component{
			Name: "tokens", Argv: []string{self, "serve-tokens", dir},
		})
	}
	for name, text := range map[string]string{"config.yml": config, "url": url + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	spec := &supervise.Spec{
		Kind:       "registry",
		Owner:      *owner,
		Components: components,
		Facts:      map[string]string{"url": url, "address": address},
		Files:      registryFiles,
	}
	start := time.Now()
	if err := spec.Save(dir); err != nil {
		return err
	}
	if err := supervise.Start(dir); err != nil {
		return err
	}
	if err := waitServing(dir, spec, url+"/v2/", []string{"registry"}); err != nil {
		supervise.Down(dir, true)
		return err
	}
	fmt.Printf("registry ready in %.1f s: %s\n", time.Since(start).Seconds(), url)
	return nil
}
