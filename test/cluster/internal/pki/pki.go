// Package pki makes the throw-away certificates of a test cluster or test registry.
//
// Keys are ECDSA P-256: a whole cluster's worth costs milliseconds. Everything is valid from an
// hour ago, so that a guest whose clock lags a little still accepts it, and for a year.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA signs; it is kept on disk so that later calls of the driver can go on signing.
type CA struct {
	Cert    *x509.Certificate
	CertPEM []byte
	key     *ecdsa.PrivateKey
}

// Leaf says what a certificate is for. Groups become the subject's organizations, which is where
// the API server reads a client's groups from. Hosts may be names and addresses.
type Leaf struct {
	Name   string
	Groups []string
	Hosts  []string
	TTL    time.Duration
}

// Pair is a certificate and its key, both PEM.
type Pair struct {
	Cert, Key []byte
}

const defaultTTL = 365 * 24 * time.Hour

// NewCA makes a self-signed authority and writes it to dir/base.crt and dir/base.key.
func NewCA(dir, base, name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := certificate(Leaf{Name: name, TTL: defaultTTL})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pair, err := encode(der, key)
	if err != nil {
		return nil, err
	}
	if err := pair.Write(dir, base); err != nil {
		return nil, err
	}
	return LoadCA(dir, base)
}

// LoadCA reads an authority that NewCA wrote.
func LoadCA(dir, base string) (*CA, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, base+".crt"))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, base+".key"))
	if err != nil {
		return nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("%s/%s: no PEM block", dir, base)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	return &CA{Cert: cert, CertPEM: certPEM, key: key}, nil
}

// Issue makes a certificate good for both serving and being a client.
func (ca *CA) Issue(leaf Leaf) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	template, err := certificate(leaf)
	if err != nil {
		return Pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, err
	}
	return encode(der, key)
}

// IssueTo is Issue, written to dir/base.crt and dir/base.key.
func (ca *CA) IssueTo(dir, base string, leaf Leaf) (Pair, error) {
	pair, err := ca.Issue(leaf)
	if err != nil {
		return Pair{}, err
	}
	return pair, pair.Write(dir, base)
}

// Write stores the pair as dir/base.crt and dir/base.key.
func (p Pair) Write(dir, base string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, base+".crt"), p.Cert, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, base+".key"), p.Key, 0o600)
}

// WriteSigningKey writes the service-account key pair: dir/base.key and dir/base.pub.
func WriteSigningKey(dir, base string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	files := []struct {
		name, kind string
		der        []byte
		mode       os.FileMode
	}{
		{base + ".key", "EC PRIVATE KEY", private, 0o600},
		{base + ".pub", "PUBLIC KEY", public, 0o644},
	}
	for _, f := range files {
		block := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := os.WriteFile(filepath.Join(dir, f.name), block, f.mode); err != nil {
			return err
		}
	}
	return nil
}

func certificate(leaf Leaf) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	ttl := leaf.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: leaf.Name, Organization: leaf.Groups},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(ttl),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if host != "" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template, nil
}

func encode(der []byte, key *ecdsa.PrivateKey) (Pair, error) {
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}
