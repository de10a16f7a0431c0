package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// watcher stamps the moment at which a client learns that a pod is Ready, or gone.
type watcher struct {
	mutex  sync.Mutex
	waits  map[string]chan time.Time
	failed map[string]bool
}

func newWatcher(ctx context.Context, client kubernetes.Interface, namespace string) (*watcher, error) {
	w := &watcher{waits: map[string]chan time.Time{}, failed: map[string]bool{}}
	return w, follow(ctx, client, namespace, "", w.handle)
}

func (w *watcher) ready(name string) <-chan time.Time { return w.expect("ready/" + name) }
func (w *watcher) gone(name string) <-chan time.Time  { return w.expect("gone/" + name) }

func (w *watcher) expect(key string) <-chan time.Time {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	seen := make(chan time.Time, 1)
	w.waits[key] = seen
	return seen
}

func (w *watcher) tell(key string, at time.Time) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if seen, waited := w.waits[key]; waited {
		delete(w.waits, key)
		seen <- at
	}
}

func (w *watcher) handle(kind watch.EventType, pod *corev1.Pod) {
	now := time.Now()
	if kind == watch.Deleted {
		w.tell("gone/"+pod.Name, now)
		return
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			w.tell("ready/"+pod.Name, now)
		}
	}
	if pod.Status.Phase == corev1.PodFailed && !w.failed[pod.Name] {
		w.failed[pod.Name] = true
		fmt.Fprintf(os.Stderr, "pod %s failed: %s %s\n", pod.Name, pod.Status.Reason,
			pod.Status.Message)
	}
}
