package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writePair writes a self-signed certificate for 127.0.0.1 with the serial number, and its key.
func writePair(t *testing.T, cfg *Config, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(cfg.TLSCert+".new", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600), os.Rename(cfg.TLSCert+".new", cfg.TLSCert),
		os.WriteFile(cfg.TLSKey+".new", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600), os.Rename(cfg.TLSKey+".new", cfg.TLSKey))
	if err != nil {
		t.Fatal(err)
	}
}

// TestARenewedCertificateIsShown without a restart, and one that can't be used is not.
func TestARenewedCertificateIsShown(t *testing.T) {
	cfg, dir := config(t.TempDir()), t.TempDir()
	writePair(t, &cfg, dir, 1)
	s := run(t, cfg)
	shown := func() int64 {
		conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // which one it is is asked
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		leaf := conn.ConnectionState().PeerCertificates[0]
		text, err := os.ReadFile(filepath.Join(cfg.Data, certificateName))
		if block, _ := pem.Decode(text); err != nil || block == nil || !bytes.Equal(block.Bytes, leaf.Raw) {
			t.Errorf("commands are told another certificate, %v", err)
		}
		return leaf.SerialNumber.Int64()
	}
	if n := shown(); n != 1 {
		t.Errorf("shows certificate %d", n)
	}
	writePair(t, &cfg, dir, 2)
	if n := shown(); n != 2 {
		t.Errorf("shows certificate %d once it was renewed", n)
	}
	if err := os.WriteFile(cfg.TLSCert, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n := shown(); n != 2 {
			t.Errorf("shows certificate %d when the file has none", n)
		}
	}
	s.ReloadCertificate() // says so, and goes on
	writePair(t, &cfg, dir, 3)
	s.ReloadCertificate()
	if n := shown(); n != 3 {
		t.Errorf("shows certificate %d in the end", n)
	}
	s.end(t)
	cfg.TLSCert, cfg.TLSKey = "", ""
	run(t, cfg)
	if _, err := os.Stat(filepath.Join(cfg.Data, certificateName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a service without certificate leaves that of the one before: %v", err)
	}
}
