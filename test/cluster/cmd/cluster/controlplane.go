package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"burstlet.io/test/cluster/internal/pki"
	"burstlet.io/test/cluster/internal/supervise"
)

// Layout of a cluster's folder, besides what package supervise describes:
//
//	admin.kubeconfig       group system:masters
//	pki/                   ca, front-proxy-ca, leaf certificates, service-account keys
//	etcd/                  data
//	*.kubeconfig, *.yaml   of the components
//	nodes/NAME/            written by node-kubeconfig
var clusterFiles = []string{
	"admin.kubeconfig", "controller-manager.kubeconfig", "scheduler.kubeconfig", "scheduler.yaml",
	"pki", "etcd", "nodes", "users", "bootstrap.kubeconfig",
}

const (
	serviceCIDR = "10.96.0.0/16"
	serviceIP   = "10.96.0.1"
	readyLimit  = 90 * time.Second
)

type ports struct {
	etcd, etcdPeer, apiserver, controllerManager, scheduler int
}

func clusterUp(args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	ip := flags.String("ip", "127.0.0.1", "address that the API server and etcd listen on")
	advertise := flags.String("advertise", "", "address in the endpoints of the service kubernetes"+
		" (default: --ip, or none when that is loopback)")
	portBase := flags.Int("port-base", 0, "first of 5 ports; 0 takes free ones")
	clusterCIDR := flags.String("cluster-cidr", "", "let the controller-manager give each node a"+
		" podCIDR of this range")
	nodeMask := flags.Int("node-mask", 23, "size of a node's podCIDR")
	bin := flags.String("bin", "", "folder with the binaries (default: this program's)")
	owner := flags.Int("owner", 0, "process whose end ends the cluster")
	var apiserverArgs []string
	flags.Func("apiserver-arg", "further flag of the API server, may be repeated", func(a string) error {
		apiserverArgs = append(apiserverArgs, a)
		return nil
	})
	positional, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	dir := positional[0]
	start := time.Now()
	if *bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		*bin = filepath.Dir(self)
	}
	if err := freshDir(dir); err != nil {
		return err
	}
	p, err := choosePorts(*ip, *portBase)
	if err != nil {
		return err
	}
	server := "https://" + net.JoinHostPort(*ip, strconv.Itoa(p.apiserver))
	if err := makeCertificates(dir, *ip, server); err != nil {
		return err
	}
	if err := writeSchedulerConfig(dir); err != nil {
		return err
	}
	spec := &supervise.Spec{
		Kind:       "cluster",
		Owner:      *owner,
		Components: components(dir, *bin, *ip, *advertise, *clusterCIDR, *nodeMask, p, apiserverArgs),
		Facts: map[string]string{
			"ip": *ip, "server": server, "bin": *bin,
			"scheduler": fmt.Sprintf("https://%s", net.JoinHostPort(*ip, strconv.Itoa(p.scheduler))),
		},
		Files: clusterFiles,
	}
	if err := spec.Save(dir); err != nil {
		return err
	}
	if err := supervise.Start(dir); err != nil {
		return err
	}
	if err := waitCluster(dir, spec); err != nil {
		supervise.Down(dir, true)
		return err
	}
	fmt.Printf("control plane ready in %.1f s: %s, KUBECONFIG=%s\n",
		time.Since(start).Seconds(), server, filepath.Join(dir, "admin.kubeconfig"))
	return nil
}

// freshDir refuses a folder where an instance lives or died; old logs alone are no hindrance.
func freshDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "spec.json")); err == nil {
		return fmt.Errorf("%s holds an instance already: take it down first", dir)
	}
	return nil
}

func choosePorts(ip string, base int) (ports, error) {
	var numbers [5]int
	for i := range numbers {
		if base != 0 {
			numbers[i] = base + i
			continue
		}
		// All are held until all are known, so that they differ.
		listener, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			return ports{}, err
		}
		defer listener.Close()
		numbers[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]}, nil
}

func makeCertificates(dir, ip, server string) error {
	folder := filepath.Join(dir, "pki")
	ca, err := pki.NewCA(folder, "ca", "burstlet-test-ca")
	if err != nil {
		return err
	}
	frontProxy, err := pki.NewCA(folder, "front-proxy-ca", "burstlet-test-front-proxy-ca")
	if err != nil {
		return err
	}
	if _, err := frontProxy.IssueTo(folder, "front-proxy-client",
		pki.Leaf{Name: "front-proxy-client"}); err != nil {
		return err
	}
	leaves := map[string]pki.Leaf{
		"apiserver": {Name: "kube-apiserver", Hosts: []string{
			ip, "127.0.0.1", "localhost", serviceIP, "kubernetes", "kubernetes.default",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		"apiserver-kubelet-client": {
			Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"},
		},
		"controller-manager": {Name: "system:kube-controller-manager", Hosts: []string{ip}},
		"scheduler":          {Name: "system:kube-scheduler", Hosts: []string{ip}},
		"admin":              {Name: "kubernetes-admin", Groups: []string{"system:masters"}},
	}
	for name, leaf := range leaves {
		pair, err := ca.IssueTo(folder, name, leaf)
		if err != nil {
			return err
		}
		if name == "admin" || name == "controller-manager" || name == "scheduler" {
			path := filepath.Join(dir, name+".kubeconfig")
			if err := writeKubeconfig(path, server, ca.CertPEM, pairUser(leaf.Name, pair)); err != nil {
				return err
			}
		}
	}
	return pki.WriteSigningKey(folder, "sa")
}

// The scheduler's own limits (50 requests a second) would be what a burst of pods measures.
func writeSchedulerConfig(dir string) error {
	text := fmt.Sprintf(`apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: %s
  qps: 1000
  burst: 2000
leaderElection:
  leaderElect: false
`, filepath.Join(dir, "scheduler.kubeconfig"))
	return os.WriteFile(filepath.Join(dir, "scheduler.yaml"), []byte(text), 0o644)
}

func components(dir, bin, ip, advertise, clusterCIDR string, nodeMask int,
	p ports, apiserverArgs []string) []supervise.Component {
	at := func(name string) string { return filepath.Join(dir, name) }
	key := func(name string) string { return filepath.Join(dir, "pki", name) }
	etcdURL := fmt.Sprintf("http://%s", net.JoinHostPort(ip, strconv.Itoa(p.etcd)))
	etcdPeerURL := fmt.Sprintf("http://%s", net.JoinHostPort(ip, strconv.Itoa(p.etcdPeer)))
	etcd := []string{
		filepath.Join(bin, "etcd"), "--data-dir=" + at("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=" + etcdPeerURL, "--initial-advertise-peer-urls=" + etcdPeerURL,
		"--initial-cluster=default=" + etcdPeerURL, "--log-level=warn",
	}
	apiserver := []string{
		filepath.Join(bin, "kube-apiserver"),
		"--etcd-servers=" + etcdURL,
		"--bind-address=" + ip, "--secure-port=" + strconv.Itoa(p.apiserver),
		"--tls-cert-file=" + key("apiserver.crt"), "--tls-private-key-file=" + key("apiserver.key"),
		"--client-ca-file=" + key("ca.crt"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--enable-bootstrap-token-auth", "--allow-privileged=true",
		"--kubelet-client-certificate=" + key("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + key("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority=" + key("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + key("sa.pub"),
		"--service-account-signing-key-file=" + key("sa.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--requestheader-client-ca-file=" + key("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + key("front-proxy-client.crt"),
		"--proxy-client-key-file=" + key("front-proxy-client.key"),
	}
	if advertise == "" && net.ParseIP(ip).IsLoopback() {
		// The endpoints of the service kubernetes may not be loopback: there are none then.
		apiserver = append(apiserver, "--advertise-address="+ip, "--endpoint-reconciler-type=none")
	} else if advertise == "" {
		apiserver = append(apiserver, "--advertise-address="+ip)
	} else {
		apiserver = append(apiserver, "--advertise-address="+advertise)
	}
	apiserver = append(apiserver, apiserverArgs...)
	// Both start beside the API server: they may not need it for their own port's authentication.
	clientCA, skipLookup := "--client-ca-file="+key("ca.crt"), "--authentication-skip-lookup=true"
	controllerManager := []string{
		filepath.Join(bin, "kube-controller-manager"),
		"--bind-address=" + ip, "--secure-port=" + strconv.Itoa(p.controllerManager),
		"--tls-cert-file=" + key("controller-manager.crt"),
		"--tls-private-key-file=" + key("controller-manager.key"),
		"--kubeconfig=" + at("controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + at("controller-manager.kubeconfig"), clientCA, skipLookup,
		"--authorization-kubeconfig=" + at("controller-manager.kubeconfig"),
		"--leader-elect=false", "--use-service-account-credentials=true",
		"--controllers=*,bootstrapsigner,tokencleaner",
		"--service-account-private-key-file=" + key("sa.key"),
		"--root-ca-file=" + key("ca.crt"),
		"--cluster-signing-cert-file=" + key("ca.crt"), "--cluster-signing-key-file=" + key("ca.key"),
		// As the scheduler's: the default of 20 a second is for masters with thousands of nodes.
		"--kube-api-qps=1000", "--kube-api-burst=2000",
	}
	if clusterCIDR != "" {
		controllerManager = append(controllerManager, "--allocate-node-cidrs=true",
			"--cluster-cidr="+clusterCIDR, "--node-cidr-mask-size="+strconv.Itoa(nodeMask))
	}
	scheduler := []string{
		filepath.Join(bin, "kube-scheduler"), "--config=" + at("scheduler.yaml"),
		"--bind-address=" + ip, "--secure-port=" + strconv.Itoa(p.scheduler),
		"--tls-cert-file=" + key("scheduler.crt"), "--tls-private-key-file=" + key("scheduler.key"),
		"--authentication-kubeconfig=" + at("scheduler.kubeconfig"), clientCA, skipLookup,
		"--authorization-kubeconfig=" + at("scheduler.kubeconfig"),
	}
	return []supervise.Component{
		{Name: "etcd", Argv: etcd},
		{Name: "apiserver", Argv: apiserver},
		{Name: "controller-manager", Argv: controllerManager},
		{Name: "scheduler", Argv: scheduler},
	}
}

// waitCluster returns when pods can be made: the API serves, every namespace's service account is
// being made, and the scheduler is up.
func waitCluster(dir string, spec *supervise.Spec) error {
	server := spec.Facts["server"]
	if err := waitServing(dir, spec, server+"/readyz", []string{"etcd", "apiserver"}); err != nil {
		return err
	}
	// The others start beside the API server, to be quick. On a busy machine they may have lost their
	// patience with it (20 s): then their turn is now.
	ended, err := supervise.Ended(dir)
	if err != nil {
		return err
	}
	for _, name := range ended {
		if _, err := supervise.Ask(dir, "start "+name); err != nil {
			return err
		}
	}
	names := []string{"etcd", "apiserver", "controller-manager", "scheduler"}
	for _, url := range []string{
		server + "/api/v1/namespaces/default/serviceaccounts/default",
		server + "/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
		spec.Facts["scheduler"] + "/readyz",
	} {
		if err := waitServing(dir, spec, url, names); err != nil {
			return err
		}
	}
	return nil
}
