package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"burstlet.io/test/cluster/internal/pki"
	"burstlet.io/test/cluster/internal/supervise"
)

// user is the "user:" part of a kubeconfig, one "key: value" per line.
type user struct {
	name  string
	lines []string
}

func pairUser(name string, pair pki.Pair) user {
	return user{name, []string{
		"client-certificate-data: " + base64.StdEncoding.EncodeToString(pair.Cert),
		"client-key-data: " + base64.StdEncoding.EncodeToString(pair.Key),
	}}
}

func writeKubeconfig(path, server string, ca []byte, u user) error {
	line := "certificate-authority-data: " + base64.StdEncoding.EncodeToString(ca)
	return writeKubeconfigWith(path, server, line, u)
}

func writeKubeconfigWith(path, server, caLine string, u user) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: %s
    %s
users:
- name: %q
  user:
    %s
contexts:
- name: test
  context:
    cluster: test
    user: %q
current-context: test
`, server, caLine, u.name, strings.Join(u.lines, "\n    "), u.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// nodeKubeconfig writes into DIR/nodes/NAME (or --out) all that a node needs:
//
//	kubeconfig           as system:node:NAME of group system:nodes
//	client.crt, .key     the same identity as files
//	kubelet.crt, .key    serving certificate for the node's name and address
//	ca.crt               which also signs the API server's client certificate
func nodeKubeconfig(args []string) error {
	flags := flag.NewFlagSet("node-kubeconfig", flag.ContinueOnError)
	ip := flags.String("ip", "", "the node's address (default: the cluster's)")
	out := flags.String("out", "", "folder to write to")
	embed := flags.Bool("embed", true, "certificates inside the kubeconfig; else paths of files")
	ttl := flags.Duration("ttl", 0, "how long the client certificate is valid (default: a year)")
	positional, err := parse(flags, args, 2)
	if err != nil {
		return err
	}
	dir, name := positional[0], positional[1]
	spec, err := supervise.Load(dir, "cluster")
	if err != nil {
		return err
	}
	if *out == "" {
		*out = filepath.Join(dir, "nodes", name)
	}
	if *ip == "" {
		*ip = spec.Facts["ip"]
	}
	ca, err := pki.LoadCA(filepath.Join(dir, "pki"), "ca")
	if err != nil {
		return err
	}
	identity := pki.Leaf{Name: "system:node:" + name, Groups: []string{"system:nodes"}, TTL: *ttl}
	client, err := ca.IssueTo(*out, "client", identity)
	if err != nil {
		return err
	}
	serving := pki.Leaf{Name: identity.Name, Groups: identity.Groups, Hosts: []string{name}}
	for _, address := range append(strings.Split(*ip, ","), "127.0.0.1") {
		if net.ParseIP(address) == nil {
			return fmt.Errorf("%q is no address", address)
		}
		serving.Hosts = append(serving.Hosts, address)
	}
	if _, err := ca.IssueTo(*out, "kubelet", serving); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(*out, "ca.crt"), ca.CertPEM, 0o644); err != nil {
		return err
	}
	path := filepath.Join(*out, "kubeconfig")
	if *embed {
		err = writeKubeconfig(path, spec.Facts["server"], ca.CertPEM, pairUser(identity.Name, client))
	} else {
		err = writeKubeconfigWith(path, spec.Facts["server"],
			"certificate-authority: "+filepath.Join(*out, "ca.crt"),
			user{identity.Name, []string{
				"client-certificate: " + filepath.Join(*out, "client.crt"),
				"client-key: " + filepath.Join(*out, "client.key"),
			}})
	}
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}

// userKubeconfig makes a client of any name and groups, to try what strangers may do.
func userKubeconfig(args []string) error {
	flags := flag.NewFlagSet("user-kubeconfig", flag.ContinueOnError)
	out := flags.String("out", "", "file to write")
	var groups []string
	flags.Func("group", "group of the user, may be repeated", func(g string) error {
		groups = append(groups, g)
		return nil
	})
	positional, err := parse(flags, args, 2)
	if err != nil {
		return err
	}
	dir, name := positional[0], positional[1]
	spec, err := supervise.Load(dir, "cluster")
	if err != nil {
		return err
	}
	if *out == "" {
		*out = filepath.Join(dir, "users", strings.ReplaceAll(name, ":", "-")+".kubeconfig")
	}
	ca, err := pki.LoadCA(filepath.Join(dir, "pki"), "ca")
	if err != nil {
		return err
	}
	pair, err := ca.Issue(pki.Leaf{Name: name, Groups: groups})
	if err != nil {
		return err
	}
	err = writeKubeconfig(*out, spec.Facts["server"], ca.CertPEM, pairUser(name, pair))
	if err != nil {
		return err
	}
	fmt.Println(*out)
	return nil
}

// What kubeadm sets up for joining nodes: the token's group may file requests, the
// controller-manager approves a first certificate and later its renewal by the node itself.
var bootstrapBindings = []struct{ name, role, group string }{
	{"node-bootstrapper", "system:node-bootstrapper", "system:bootstrappers"},
	{
		"node-client-csr", "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
		"system:bootstrappers",
	},
	{
		"node-client-renewal", "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
		"system:nodes",
	},
}

func bootstrapKubeconfig(args []string) error {
	flags := flag.NewFlagSet("bootstrap-kubeconfig", flag.ContinueOnError)
	out := flags.String("out", "", "file to write (default: DIR/bootstrap.kubeconfig)")
	positional, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	dir := positional[0]
	spec, err := supervise.Load(dir, "cluster")
	if err != nil {
		return err
	}
	if *out == "" {
		*out = filepath.Join(dir, "bootstrap.kubeconfig")
	}
	random := make([]byte, 11)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	id, secret := hex.EncodeToString(random[:3]), hex.EncodeToString(random[3:])
	err = create(dir, spec, "/api/v1/namespaces/kube-system/secrets", fmt.Sprintf(`{
		"metadata": {"name": "bootstrap-token-%s"}, "type": "bootstrap.kubernetes.io/token",
		"stringData": {"token-id": "%s", "token-secret": "%s", "usage-bootstrap-signing": "true",
			"usage-bootstrap-authentication": "true"}}`, id, id, secret))
	if err != nil {
		return err
	}
	for _, b := range bootstrapBindings {
		err := create(dir, spec, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
			fmt.Sprintf(`{"metadata": {"name": "test:%s"},
			"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "%s"},
			"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "%s"}]}`,
				b.name, b.role, b.group))
		if err != nil {
			return err
		}
	}
	ca, err := os.ReadFile(filepath.Join(dir, "pki", "ca.crt"))
	if err != nil {
		return err
	}
	err = writeKubeconfig(*out, spec.Facts["server"], ca,
		user{"bootstrap", []string{"token: " + id + "." + secret}})
	if err != nil {
		return err
	}
	fmt.Println(*out)
	return nil
}

// create posts an object; one that is there already is left as it is.
func create(dir string, spec *supervise.Spec, path, body string) error {
	client, err := instanceClient(dir)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	response, err := client.Post(spec.Facts["server"]+path, "application/json",
		bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusConflict {
		return fmt.Errorf("POST %s: %s %s", path, response.Status, answer)
	}
	return nil
}
