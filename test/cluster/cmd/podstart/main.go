// Command podstart measures, from outside, how fast a node starts and ends pods.
//
// It creates pods bound to the node through the API server and times them by a watch of its own:
// create call -> Ready seen, delete call -> gone seen. Beside that it reads what the node's software
// used: CPU by cgroup, memory as PSS of its processes plus the growth of kernel memory. It knows
// nothing of burstlet, so any node can be measured. test/bench/pod_start sets everything up.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

type options struct {
	kubeconfig, node, image, namespace, label string
	single                                    int
	bursts                                    []int
	idlePods                                  int
	idleTime, limit                           time.Duration
	json                                      string
	floor                                     bool
	usage                                     source
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "podstart:", err)
		os.Exit(1)
	}
}

func parse() (*options, error) {
	o := &options{}
	var bursts string
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "of an administrator")
	flag.StringVar(&o.node, "node", "", "node to bind the pods to")
	flag.StringVar(&o.image, "image", "", "image that does nothing and ends on SIGTERM")
	flag.StringVar(&o.namespace, "namespace", "bench", "namespace for the pods; made if missing")
	flag.StringVar(&o.label, "label", "burstlet", "name of what is measured, for the report")
	flag.IntVar(&o.single, "single", 50, "pods to start one by one")
	flag.StringVar(&bursts, "bursts", "20,100", "numbers of pods to start at once")
	flag.IntVar(&o.idlePods, "idle", 100, "pods to hold idle while memory and CPU are read; 0 skips")
	flag.DurationVar(&o.idleTime, "idle-time", 20*time.Second, "how long the idle pods are watched")
	flag.DurationVar(&o.limit, "limit", 2*time.Minute, "for each wait")
	flag.StringVar(&o.json, "json", "", "file for the figures")
	flag.Func("agent-cgroup", "cgroup folder (e.g. /name) of the node's agent; may be repeated",
		o.usage.addAgent)
	flag.Func("pods-cgroup", "cgroup folder the pods are below; may be repeated", o.usage.addPods)
	flag.StringVar(&o.usage.match, "match", "",
		"count processes with this in their command line to the node's software too")
	flag.BoolVar(&o.floor, "floor", false,
		"be the node too, one that runs nothing: the API server's own share")
	flag.Parse()
	if o.kubeconfig == "" || o.node == "" || o.image == "" {
		return nil, fmt.Errorf("--kubeconfig, --node and --image are needed")
	}
	for _, word := range strings.Split(bursts, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("--bursts: %w", err)
		}
		o.bursts = append(o.bursts, n)
	}
	return o, nil
}

func run() error {
	o, err := parse()
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit of ours
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if o.floor {
		if err := floor(ctx, client, o.node); err != nil {
			return err
		}
	}
	b := &bench{options: o, client: client}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	report.print(os.Stdout)
	if o.json == "" {
		return nil
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(data, '\n'), 0o644)
}
