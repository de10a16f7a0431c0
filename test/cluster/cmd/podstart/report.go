package main

import (
	"fmt"
	"io"
	"sort"
	"time"
)

// report is what --json writes. Times are in milliseconds unless the name says otherwise.
type report struct {
	Label   string  `json:"label"`
	Started string  `json:"started"`
	Phases  []phase `json:"phases"`
	Idle    *idle   `json:"idle,omitempty"`
}

type phase struct {
	Name     string  `json:"name"`
	Pods     int     `json:"pods"`
	ReadyP50 float64 `json:"readyP50ms"`
	ReadyP99 float64 `json:"readyP99ms"`
	GoneP50  float64 `json:"goneP50ms"`
	GoneP99  float64 `json:"goneP99ms"`
	AllReady float64 `json:"allReadySeconds,omitempty"`
	AllGone  float64 `json:"allGoneSeconds,omitempty"`
	// CPU per pod, start and stop together.
	AgentCPU float64 `json:"agentCPUms"`
	PodsCPU  float64 `json:"podsCgroupCPUms"`

	ready, gone []time.Duration
}

func (p *phase) finish(before, after cpuTime) {
	p.ReadyP50, p.ReadyP99 = quantile(p.ready, 0.5), quantile(p.ready, 0.99)
	p.GoneP50, p.GoneP99 = quantile(p.gone, 0.5), quantile(p.gone, 0.99)
	used := after.minus(before)
	p.AgentCPU = used.Agent * 1000 / float64(p.Pods)
	p.PodsCPU = used.Pods * 1000 / float64(p.Pods)
}

type idle struct {
	Pods       int     `json:"pods"`
	Cores      float64 `json:"cores"`
	AgentCores float64 `json:"agentCores"`
	AgentPSS   int64   `json:"agentPSSBytes"`
	// Growth over the pods: of all the node's processes, of the kernel, and both per pod.
	AgentGrowth  int64 `json:"agentGrowthBytes"`
	PodsPSS      int64 `json:"podsPSSBytes"`
	KernelGrowth int64 `json:"kernelGrowthBytes"`
	PerPod       int64 `json:"perPodBytes"`
}

func (i *idle) compare(before, after memory) {
	i.AgentPSS = after.Agent
	i.AgentGrowth = after.Agent - before.Agent
	i.PodsPSS = after.Pods - before.Pods
	i.KernelGrowth = after.Kernel - before.Kernel
	i.PerPod = (i.AgentGrowth + i.PodsPSS + i.KernelGrowth) / int64(i.Pods)
}

func seconds(d time.Duration) float64 { return d.Seconds() }

// quantile by nearest rank, in milliseconds.
func quantile(values []time.Duration, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := append([]time.Duration(nil), values...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	index := int(q*float64(len(sorted))+0.999999) - 1
	if index < 0 {
		index = 0
	}
	return float64(sorted[index].Microseconds()) / 1000
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "| | %s |\n| --- | --- |\n", r.Label)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(w, "| %s | %s |\n", name, fmt.Sprintf(format, values...))
	}
	for _, p := range r.Phases {
		row(p.Name+": create -> Ready, p50 / p99", "%.1f / %.1f ms", p.ReadyP50, p.ReadyP99)
		if p.AllReady > 0 {
			row(p.Name+": all Ready", "%.2f s (%.0f pods/s)", p.AllReady, float64(p.Pods)/p.AllReady)
		}
		row(p.Name+": delete -> gone, p50 / p99", "%.1f / %.1f ms", p.GoneP50, p.GoneP99)
		if p.AllGone > 0 {
			row(p.Name+": all gone", "%.2f s", p.AllGone)
		}
		if p.AgentCPU+p.PodsCPU == 0 {
			continue // no cgroup was named
		}
		row(p.Name+": CPU per pod, start + stop (agent + pods' cgroups)", "%.1f ms (%.1f + %.1f)",
			p.AgentCPU+p.PodsCPU, p.AgentCPU, p.PodsCPU)
	}
	if i := r.Idle; i != nil {
		name := fmt.Sprintf("%d idle pods: ", i.Pods)
		row(name+"CPU", "%.2f %% of a core (agent %.2f %%)", i.Cores*100, i.AgentCores*100)
		row(name+"agent, PSS", "%.1f MiB", mib(i.AgentPSS))
		row(name+"memory per pod (agent's growth + pods' processes + kernel)",
			"%.2f MiB (%.2f + %.2f + %.2f)", mib(i.PerPod), mib(i.AgentGrowth)/float64(i.Pods),
			mib(i.PodsPSS)/float64(i.Pods), mib(i.KernelGrowth)/float64(i.Pods))
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
