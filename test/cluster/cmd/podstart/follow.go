package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// follow watches pods from now on until the context ends and calls handle for each event. An API
// server under load closes watches whose reader lags by some 100 ms (the buffer of a watch by
// nodeName holds 10 events), so a closed one is opened again at once where it ended.
func follow(ctx context.Context, client kubernetes.Interface, namespace, selector string,
	handle func(watch.EventType, *corev1.Pod)) error {
	pods := client.CoreV1().Pods(namespace)
	list, err := pods.List(ctx, metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return err
	}
	options := metav1.ListOptions{FieldSelector: selector, ResourceVersion: list.ResourceVersion}
	events, err := pods.Watch(ctx, options)
	if err != nil {
		return err
	}
	go func() {
		for ctx.Err() == nil {
			for event := range events.ResultChan() {
				if pod, ok := event.Object.(*corev1.Pod); ok {
					options.ResourceVersion = pod.ResourceVersion
					handle(event.Type, pod)
				} else {
					fmt.Fprintln(os.Stderr, "watch:", apierrors.FromObject(event.Object))
				}
			}
			for ctx.Err() == nil {
				if events, err = pods.Watch(ctx, options); err == nil {
					break
				}
				fmt.Fprintln(os.Stderr, "watch:", err)
				time.Sleep(50 * time.Millisecond)
			}
		}
	}()
	return nil
}
