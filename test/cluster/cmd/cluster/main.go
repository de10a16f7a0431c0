// Command cluster runs throw-away Kubernetes control planes and image registries for tests.
//
// Every instance lives in one folder, may run beside others, and is gone, processes and files,
// after down. See README.md of this module.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"burstlet.io/test/cluster/internal/supervise"
)

const usage = `usage:
  cluster up DIR [--ip IP] [--advertise IP] [--port-base N] [--cluster-cidr CIDR] [--owner PID]
                 [--apiserver-arg=--FLAG=VALUE]...
  cluster down DIR [--keep-logs]
  cluster status DIR
  cluster start|stop|restart DIR COMPONENT     etcd, apiserver, controller-manager, scheduler
  cluster node-kubeconfig DIR NAME [--ip IP] [--out DIR] [--embed=false]
  cluster bootstrap-kubeconfig DIR [--out FILE]
  cluster user-kubeconfig DIR NAME [--group G]... [--out FILE]
  cluster registry up DIR [--ip IP] [--port N] [--tls] [--owner PID]
                          [--htpasswd USER:PASSWORD | --token USER:PASSWORD]
  cluster registry down|status DIR
  cluster registry start|stop|restart DIR
`

func main() {
	log.SetFlags(log.Ldate | log.Lmicroseconds)
	if len(os.Args) == 3 && os.Args[1] == "supervise" {
		// Started by supervise.Start, which waits on descriptor 3.
		if err := supervise.Run(os.Args[2], os.NewFile(3, "ready")); err != nil {
			log.Fatal(err)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "serve-tokens" {
		log.Fatal(serveTokens(os.Args[2]))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("too few arguments\n%s", usage)
	}
	verb, args := args[0], args[1:]
	switch verb {
	case "up":
		return clusterUp(args)
	case "down":
		return down(args)
	case "status":
		return ask(args, "status", 1)
	case "start", "stop", "restart":
		return component(args, verb)
	case "node-kubeconfig":
		return nodeKubeconfig(args)
	case "bootstrap-kubeconfig":
		return bootstrapKubeconfig(args)
	case "user-kubeconfig":
		return userKubeconfig(args)
	case "registry":
		return registry(args)
	}
	return fmt.Errorf("unknown verb %q\n%s", verb, usage)
}

func registry(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("too few arguments\n%s", usage)
	}
	verb, args := args[0], args[1:]
	switch verb {
	case "up":
		return registryUp(args)
	case "down":
		return down(args)
	case "status":
		return ask(args, "status", 1)
	case "start", "stop", "restart":
		return component(append(args, "registry"), verb)
	}
	return fmt.Errorf("unknown verb registry %q\n%s", verb, usage)
}

// parse takes flags before, between and after n positional arguments. The first of these is the
// instance's folder and comes back absolute.
func parse(flags *flag.FlagSet, args []string, n int) ([]string, error) {
	var positional []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		args = flags.Args()
		if len(args) > 0 {
			positional = append(positional, args[0])
			args = args[1:]
		}
	}
	if len(positional) != n {
		return nil, fmt.Errorf("%s: %d arguments expected, got %q\n%s",
			flags.Name(), n, positional, usage)
	}
	dir, err := filepath.Abs(positional[0])
	if err != nil {
		return nil, err
	}
	positional[0] = dir
	return positional, nil
}

func down(args []string) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	keepLogs := flags.Bool("keep-logs", false, "leave DIR/logs")
	positional, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	return supervise.Down(positional[0], *keepLogs)
}

func ask(args []string, request string, n int) error {
	positional, err := parse(flag.NewFlagSet(request, flag.ContinueOnError), args, n)
	if err != nil {
		return err
	}
	answer, err := supervise.Ask(positional[0], request)
	if err != nil {
		return err
	}
	fmt.Println(strings.ReplaceAll(answer, " ", "\n"))
	return nil
}

// component starts or stops one process of an instance, and after a start waits until it serves.
func component(args []string, verb string) error {
	positional, err := parse(flag.NewFlagSet(verb, flag.ContinueOnError), args, 2)
	if err != nil {
		return err
	}
	dir, name := positional[0], positional[1]
	name = strings.TrimPrefix(name, "kube-")
	spec, err := supervise.Load(dir, "")
	if err != nil {
		return err
	}
	if _, err := supervise.Ask(dir, verb+" "+name); err != nil {
		return err
	}
	if verb == "stop" {
		return nil
	}
	switch name {
	case "apiserver", "etcd":
		return waitServing(dir, spec, spec.Facts["server"]+"/readyz", []string{name})
	case "registry":
		return waitServing(dir, spec, spec.Facts["url"]+"/v2/", []string{name})
	}
	return nil
}
