package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"burstlet.io/test/cluster/internal/supervise"
)

// waitServing asks url until it answers 200 (or 401: a registry with a login serves too). It ends
// early with the log of the first of names that has died.
func waitServing(dir string, spec *supervise.Spec, url string, names []string) error {
	client, err := instanceClient(dir)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	deadline := time.Now().Add(readyLimit)
	last := ""
	for time.Now().Before(deadline) {
		response, err := client.Get(url)
		if err != nil {
			last = err.Error()
		} else {
			response.Body.Close()
			last = response.Status
			if response.StatusCode == http.StatusOK ||
				(spec.Kind == "registry" && response.StatusCode == http.StatusUnauthorized) {
				return nil
			}
		}
		ended, err := supervise.Ended(dir)
		if err != nil {
			return err
		}
		for _, name := range ended {
			if slices.Contains(names, name) {
				return fmt.Errorf("%s has ended\n%s", name, supervise.Tail(dir, name, 15))
			}
		}
		time.Sleep(25 * time.Millisecond)
	}
	return fmt.Errorf("%s does not serve after %v: %s\n%s", url, readyLimit, last,
		supervise.Tail(dir, names[len(names)-1], 15))
}

// instanceClient trusts the instance's authority and, for a cluster, is its administrator.
func instanceClient(dir string) (*http.Client, error) {
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if ca, err := os.ReadFile(filepath.Join(dir, "pki", "ca.crt")); err == nil {
		config.RootCAs.AppendCertsFromPEM(ca)
	}
	admin := filepath.Join(dir, "pki", "admin")
	if _, err := os.Stat(admin + ".crt"); err == nil {
		pair, err := tls.LoadX509KeyPair(admin+".crt", admin+".key")
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, Proxy: nil},
		Timeout:   10 * time.Second,
	}, nil
}
