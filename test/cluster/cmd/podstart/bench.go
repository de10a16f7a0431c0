package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

type bench struct {
	options *options
	client  kubernetes.Interface
	watcher *watcher
	serial  int
}

// prepare makes the namespace, opens the watch, and starts one pod so that the image is present.
func (b *bench) prepare(ctx context.Context) error {
	name := b.options.namespace
	_, err := b.client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	// Before its service account is there, pods are refused.
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := b.client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("service account of namespace %s: %w", name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if b.watcher, err = newWatcher(ctx, b.client, name); err != nil {
		return err
	}
	if _, _, err := b.round(ctx, 1); err != nil {
		return fmt.Errorf("first pod: %w", err)
	}
	return nil
}

func (b *bench) measure(ctx context.Context) (*report, error) {
	r := &report{Label: b.options.label, Started: time.Now().UTC().Format(time.RFC3339)}
	if b.options.single > 0 {
		phase, err := b.oneByOne(ctx, b.options.single)
		if err != nil {
			return nil, err
		}
		r.Phases = append(r.Phases, phase)
	}
	for _, n := range b.options.bursts {
		phase, err := b.burst(ctx, n)
		if err != nil {
			return nil, err
		}
		r.Phases = append(r.Phases, phase)
	}
	if b.options.idlePods > 0 {
		idle, err := b.idle(ctx, b.options.idlePods)
		if err != nil {
			return nil, err
		}
		r.Idle = idle
	}
	return r, nil
}

func (b *bench) oneByOne(ctx context.Context, n int) (phase, error) {
	fmt.Fprintf(os.Stderr, "%d pods one by one\n", n)
	result := phase{Name: "one by one", Pods: n}
	before := b.options.usage.cpu()
	for range n {
		started, ended, err := b.round(ctx, 1)
		if err != nil {
			return phase{}, err
		}
		result.ready = append(result.ready, started.each...)
		result.gone = append(result.gone, ended.each...)
	}
	result.finish(before, b.options.usage.cpu())
	return result, nil
}

func (b *bench) burst(ctx context.Context, n int) (phase, error) {
	fmt.Fprintf(os.Stderr, "%d pods at once\n", n)
	result := phase{Name: fmt.Sprintf("%d at once", n), Pods: n}
	before := b.options.usage.cpu()
	started, ended, err := b.round(ctx, n)
	if err != nil {
		return phase{}, err
	}
	result.ready, result.AllReady = started.each, seconds(started.all)
	result.gone, result.AllGone = ended.each, seconds(ended.all)
	result.finish(before, b.options.usage.cpu())
	return result, nil
}

// idle holds n pods and reads what they cost while nothing happens.
func (b *bench) idle(ctx context.Context, n int) (*idle, error) {
	fmt.Fprintf(os.Stderr, "%d idle pods for %v\n", n, b.options.idleTime)
	result := &idle{Pods: n}
	before := b.options.usage.memory()
	names := b.names(n)
	if _, err := b.start(ctx, names); err != nil {
		return nil, err
	}
	// The start's own work (status, events, token files) is to be over.
	time.Sleep(5 * time.Second)
	cpu := b.options.usage.cpu()
	time.Sleep(b.options.idleTime)
	used := b.options.usage.cpu().minus(cpu)
	result.Cores = used.total() / b.options.idleTime.Seconds()
	result.AgentCores = used.Agent / b.options.idleTime.Seconds()
	after := b.options.usage.memory()
	result.compare(before, after)
	_, err := b.end(ctx, names)
	return result, err
}

// times of a group of pods: each from its own call, all from the first call.
type times struct {
	each []time.Duration
	all  time.Duration
}

func (b *bench) round(ctx context.Context, n int) (started, ended times, err error) {
	names := b.names(n)
	if started, err = b.start(ctx, names); err != nil {
		return started, ended, err
	}
	ended, err = b.end(ctx, names)
	return started, ended, err
}

func (b *bench) names(n int) []string {
	var names []string
	for range n {
		b.serial++
		names = append(names, fmt.Sprintf("p%05d", b.serial))
	}
	return names
}

func (b *bench) start(ctx context.Context, names []string) (times, error) {
	return b.timed(names, "Ready", b.watcher.ready, func(name string) error {
		_, err := b.client.CoreV1().Pods(b.options.namespace).Create(ctx, b.pod(name),
			metav1.CreateOptions{})
		return err
	})
}

func (b *bench) end(ctx context.Context, names []string) (times, error) {
	return b.timed(names, "gone", b.watcher.gone, func(name string) error {
		return b.client.CoreV1().Pods(b.options.namespace).Delete(ctx, name, metav1.DeleteOptions{})
	})
}

// timed makes all calls, a bounded number at the same time, and waits for the watcher to see each.
func (b *bench) timed(names []string, what string, seen func(string) <-chan time.Time,
	call func(string) error) (times, error) {
	const parallel = 16
	result := times{each: make([]time.Duration, len(names))}
	errs := make([]error, len(names))
	slots := make(chan struct{}, parallel)
	begin := time.Now()
	last := begin
	var mutex sync.Mutex
	var group sync.WaitGroup
	for i, name := range names {
		group.Add(1)
		go func() {
			defer group.Done()
			slots <- struct{}{}
			called := time.Now()
			if len(names) > 1 {
				called = begin // asked for all at once: waiting for a slot counts
			}
			event := seen(name)
			errs[i] = call(name)
			<-slots
			if errs[i] != nil {
				return
			}
			select {
			case at := <-event:
				result.each[i] = at.Sub(called)
				mutex.Lock()
				if at.After(last) {
					last = at
				}
				mutex.Unlock()
			case <-time.After(b.options.limit):
				errs[i] = fmt.Errorf("pod %s not %s within %v", name, what, b.options.limit)
			}
		}()
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return result, err
	}
	result.all = last.Sub(begin)
	return result, nil
}

func (b *bench) pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{
			NodeName:    b.options.node,
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: "main", Image: b.options.image, ImagePullPolicy: corev1.PullIfNotPresent,
			}},
		},
	}
}
