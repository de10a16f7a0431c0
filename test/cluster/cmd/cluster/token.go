package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"burstlet.io/test/cluster/internal/pki"
)

const (
	tokenIssuer  = "burstlet-test-tokens"
	tokenService = "burstlet-test-registry"
	tokenTTL     = 60 * time.Second
)

// tokenServer is the service that hands out a registry's bearer tokens (the distribution project's
// token specification). With the login one may do everything; without, pull names below "public/".
type tokenServer struct {
	Address string `json:"address"` // to listen on
	Login   string `json:"login"`   // USER:PASSWORD
	TLS     bool   `json:"tls"`

	dir  string
	pair tls.Certificate
}

// setUpTokens prepares DIR for serveTokens and returns the "auth:" part of the registry's
// configuration.
func setUpTokens(dir, ip, login string, useTLS bool) (string, error) {
	folder := filepath.Join(dir, "pki")
	ca, err := pki.NewCA(folder, "token-ca", tokenIssuer)
	if err != nil {
		return "", err
	}
	if _, err := ca.IssueTo(folder, "token", pki.Leaf{Name: tokenIssuer}); err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return "", err
	}
	defer listener.Close()
	server := tokenServer{Address: listener.Addr().String(), Login: login, TLS: useTLS}
	data, err := json.Marshal(server)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "token.json"), data, 0o600); err != nil {
		return "", err
	}
	scheme := "http"
	if useTLS {
		scheme = "https"
	}
	return fmt.Sprintf("auth:\n  token: {realm: '%s://%s/token', service: %s, issuer: %s, "+
		"rootcertbundle: %q}\n", scheme, server.Address, tokenService, tokenIssuer,
		filepath.Join(folder, "token-ca.crt")), nil
}

// serveTokens is a component of the registry's instance.
func serveTokens(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "token.json"))
	if err != nil {
		return err
	}
	server := &tokenServer{dir: dir}
	if err := json.Unmarshal(data, server); err != nil {
		return err
	}
	base := filepath.Join(dir, "pki", "token")
	if server.pair, err = tls.LoadX509KeyPair(base+".crt", base+".key"); err != nil {
		return err
	}
	http.HandleFunc("GET /token", server.handle)
	if server.TLS {
		base = filepath.Join(dir, "pki", "registry")
		return http.ListenAndServeTLS(server.Address, base+".crt", base+".key", nil)
	}
	return http.ListenAndServe(server.Address, nil)
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (s *tokenServer) handle(w http.ResponseWriter, r *http.Request) {
	user, password, given := r.BasicAuth()
	known := given && user+":"+password == s.Login
	log.Printf("token for %q, scopes %q, known %v", user, r.URL.Query()["scope"], known)
	if given && !known {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, `{"details":"incorrect username or password"}`, http.StatusUnauthorized)
		return
	}
	granted := []access{}
	for _, scope := range r.URL.Query()["scope"] {
		parts := strings.Split(scope, ":")
		if len(parts) != 3 {
			continue
		}
		actions := strings.Split(parts[2], ",")
		if !known {
			if !strings.HasPrefix(parts[1], "public/") {
				continue
			}
			actions = []string{"pull"}
		}
		granted = append(granted, access{parts[0], parts[1], actions})
	}
	token, err := s.sign(user, granted)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"token": token, "expires_in": int(tokenTTL.Seconds()),
		"issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

// sign makes a JSON Web Token with the certificate in its head (x5c), as the registry checks it.
func (s *tokenServer) sign(subject string, granted []access) (string, error) {
	part := func(value any) (string, error) {
		data, err := json.Marshal(value)
		return base64.RawURLEncoding.EncodeToString(data), err
	}
	head, err := part(map[string]any{
		"typ": "JWT", "alg": "ES256",
		"x5c": []string{base64.StdEncoding.EncodeToString(s.pair.Certificate[0])},
	})
	if err != nil {
		return "", err
	}
	now := time.Now()
	body, err := part(map[string]any{
		"iss": tokenIssuer, "sub": subject, "aud": tokenService, "access": granted,
		"exp": now.Add(tokenTTL).Unix(), "nbf": now.Add(-10 * time.Second).Unix(),
		"iat": now.Unix(), "jti": fmt.Sprint(now.UnixNano()),
	})
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(head + "." + body))
	key, ok := s.pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return "", fmt.Errorf("the token key is no ECDSA key")
	}
	r, v, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
