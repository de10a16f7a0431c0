package main

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// source says where the node's software is to be found.
type source struct {
	agent, pods []string // cgroups, as paths below a hierarchy
	match       string
}

func (s *source) addAgent(path string) error { s.agent = append(s.agent, path); return nil }
func (s *source) addPods(path string) error  { s.pods = append(s.pods, path); return nil }

// cpuTime in seconds: of the agent, and of everything in the pods' cgroups (wardens or shims that
// live there, and the containers themselves).
type cpuTime struct{ Agent, Pods float64 }

func (c cpuTime) minus(o cpuTime) cpuTime { return cpuTime{c.Agent - o.Agent, c.Pods - o.Pods} }
func (c cpuTime) total() float64          { return c.Agent + c.Pods }

func (s *source) cpu() cpuTime {
	var result cpuTime
	for _, path := range s.agent {
		result.Agent += cgroupCPU(path)
	}
	for _, path := range s.pods {
		result.Pods += cgroupCPU(path)
	}
	return result
}

// cgroupCPU counts what removed children used, too: both versions account to the parents.
func cgroupCPU(path string) float64 {
	for _, controller := range []string{"cpuacct", "cpu,cpuacct"} {
		file := filepath.Join("/sys/fs/cgroup", controller, path, "cpuacct.usage")
		if data, err := os.ReadFile(file); err == nil {
			value, _ := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
			return value / 1e9
		}
	}
	data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", path, "cpu.stat"))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, found := strings.CutPrefix(line, "usage_usec "); found {
			value, _ := strconv.ParseFloat(rest, 64)
			return value / 1e6
		}
	}
	return 0
}

// memory in bytes. Kernel is machine-wide (slab, stacks, page tables, per-CPU): only its growth
// means something, and pods' namespaces, mounts and interfaces are charged nowhere else.
type memory struct {
	Agent, Pods, Kernel int64
}

func (s *source) memory() memory {
	result := memory{Kernel: kernelMemory()}
	agent := pidsOf(s.agent)
	others := pidsOf(s.pods)
	for _, pid := range s.matching() {
		if !agent[pid] {
			others[pid] = true
		}
	}
	for pid := range agent {
		result.Agent += pss(pid)
	}
	for pid := range others {
		if !agent[pid] {
			result.Pods += pss(pid)
		}
	}
	return result
}

func (s *source) matching() []int {
	if s.match == "" {
		return nil
	}
	var pids []int
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == os.Getpid() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err == nil && strings.Contains(strings.ReplaceAll(string(data), "\x00", " "), s.match) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// pidsOf returns the processes of cgroups and of those below, looked up in every hierarchy: an
// agent may use some of them only.
func pidsOf(paths []string) map[int]bool {
	pids := map[int]bool{}
	hierarchies, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	roots := []string{"/sys/fs/cgroup"}
	for _, file := range hierarchies {
		roots = append(roots, filepath.Dir(file))
	}
	for _, root := range roots {
		for _, path := range paths {
			filepath.WalkDir(filepath.Join(root, path), func(name string, e fs.DirEntry, err error) error {
				if err != nil {
					return nil // removed meanwhile, or not in this hierarchy
				}
				if e.Name() == "cgroup.procs" {
					data, _ := os.ReadFile(name)
					for _, word := range strings.Fields(string(data)) {
						if pid, err := strconv.Atoi(word); err == nil {
							pids[pid] = true
						}
					}
				}
				return nil
			})
		}
	}
	return pids
}

func pss(pid int) int64 {
	return field(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"), "Pss:")
}

func kernelMemory() int64 {
	total := int64(0)
	for _, name := range []string{"Slab:", "KernelStack:", "PageTables:", "Percpu:", "SecPageTables:"} {
		total += field("/proc/meminfo", name)
	}
	return total
}

// field reads "Name:   123 kB" in bytes.
func field(file, name string) int64 {
	source, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer source.Close()
	lines := bufio.NewScanner(source)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) >= 2 && words[0] == name {
			value, _ := strconv.ParseInt(words[1], 10, 64)
			return value * 1024
		}
	}
	return 0
}
