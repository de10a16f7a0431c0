package oci

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// Registry is where images are pushed to.
type Registry struct {
	URL      string // http:// or https://, no path
	User     string
	Password string
	token    string // of the last bearer challenge
	client   *http.Client
}

// NewRegistry prepares pushing to address; caFile may be empty, login is "" or USER:PASSWORD.
func NewRegistry(address, caFile, login string) (*Registry, error) {
	config := &tls.Config{}
	if caFile != "" {
		ca, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(ca)
	}
	r := &Registry{URL: strings.TrimRight(address, "/")}
	r.User, r.Password, _ = strings.Cut(login, ":")
	r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: config, Proxy: nil}}
	return r, nil
}

// Push uploads an image: its blobs that are missing, its children, then what the tag points at.
func (r *Registry) Push(s *Store, image Image, name string) error {
	for _, child := range image.Children {
		if err := r.pushManifest(s, name, child, child.Digest); err != nil {
			return err
		}
	}
	return r.pushManifest(s, name, image.Top, image.Tag)
}

func (r *Registry) pushManifest(s *Store, name string, d Descriptor, reference string) error {
	data, err := s.Get(d.Digest)
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	blobs := m.Layers
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, blob := range blobs {
		if err := r.pushBlob(s, name, blob.Digest); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	path := fmt.Sprintf("%s/v2/%s/manifests/%s", r.URL, name, reference)
	return r.do(http.MethodPut, path, d.MediaType, data, http.StatusCreated, nil)
}

func (r *Registry) pushBlob(s *Store, name, digest string) error {
	path := fmt.Sprintf("%s/v2/%s/blobs/", r.URL, name)
	if r.do(http.MethodHead, path+digest, "", nil, http.StatusOK, nil) == nil {
		return nil
	}
	data, err := s.Get(digest)
	if err != nil {
		return err
	}
	var location string
	err = r.do(http.MethodPost, path+"uploads/", "", nil, http.StatusAccepted, &location)
	if err != nil {
		return err
	}
	target, err := url.Parse(location)
	if err != nil {
		return err
	}
	query := target.Query()
	query.Set("digest", digest)
	target.RawQuery = query.Encode()
	return r.do(http.MethodPut, target.String(), "application/octet-stream", data,
		http.StatusCreated, nil)
}

func (r *Registry) do(method, address, mediaType string, body []byte, want int,
	location *string) error {
	response, answer, err := r.once(method, address, mediaType, body)
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusUnauthorized && r.login(response) == nil {
		if response, answer, err = r.once(method, address, mediaType, body); err != nil {
			return err
		}
	}
	if response.StatusCode != want {
		return fmt.Errorf("%s %s: %s %s", method, address, response.Status, answer)
	}
	if location != nil {
		resolved, err := response.Location()
		if err != nil {
			return errors.Join(fmt.Errorf("%s %s", method, address), err)
		}
		*location = resolved.String()
	}
	return nil
}

func (r *Registry) once(method, address, mediaType string, body []byte) (*http.Response, []byte,
	error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	} else if r.User != "" {
		request.SetBasicAuth(r.User, r.Password)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	return response, answer, err
}

// login follows a bearer challenge: the token service is asked with the user's password.
func (r *Registry) login(challenged *http.Response) error {
	challenge, bearer := strings.CutPrefix(challenged.Header.Get("WWW-Authenticate"), "Bearer ")
	if !bearer {
		return fmt.Errorf("no bearer challenge")
	}
	values := map[string]string{}
	for _, field := range bearerField.FindAllStringSubmatch(challenge, -1) {
		values[field[1]] = field[2]
	}
	query := url.Values{"service": {values["service"]}, "scope": {values["scope"]}}
	request, err := http.NewRequest(http.MethodGet, values["realm"]+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(r.User, r.Password)
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	r.token = answer.Token
	return nil
}

var bearerField = regexp.MustCompile(`(\w+)="([^"]*)"`)
