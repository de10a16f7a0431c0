package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// floor is a node that runs nothing: it calls each pod Ready as soon as it sees it and lets it go
// as soon as it is asked to. What remains is the cost of the API server and of this benchmark: the
// floor that no node can be below.
func floor(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Nodes().Create(ctx,
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	seen := map[types.UID]bool{}
	selector := fields.OneTermEqualSelector("spec.nodeName", name).String()
	return follow(ctx, client, "", selector, func(kind watch.EventType, pod *corev1.Pod) {
		if kind == watch.Deleted {
			return
		}
		if pod.DeletionTimestamp != nil {
			go remove(ctx, client, pod)
		} else if !seen[pod.UID] {
			seen[pod.UID] = true
			go becomeReady(ctx, client, pod)
		}
	})
}

func becomeReady(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) {
	now := metav1.NewTime(time.Now())
	status := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "192.0.2.1", StartTime: &now}
	for _, kind := range []corev1.PodConditionType{
		corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady,
	} {
		status.Conditions = append(status.Conditions,
			corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err == nil {
		_, err = client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name,
			types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
	}
}

func remove(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) {
	// A second event of the same pod finds it gone, which is as good.
	_ = client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
}
