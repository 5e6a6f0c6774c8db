package server

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/logkey"
)

// certificateName is a file of the data directory with the certificates that the service
// shows, so that commands on this machine know it by them.
const certificateName = "certificate.pem"

// shownCertificate is what the service shows to clients. Its files are looked at when a client
// connects, so that a renewed certificate counts from then on. It may be used concurrently.
type shownCertificate struct {
	certFile, keyFile string
	data              *dataDir
	log               *slog.Logger

	mu      sync.Mutex // guards what follows
	now     *tls.Certificate
	seen    stamps // of now's files
	refused stamps // of files that could not be used, which was logged
}

// stamps tell whether two files were changed.
type stamps [2]struct {
	size, modified int64
	inode          string
}

// loadTLS returns nil if the service is to speak http.
func (a *App) loadTLS() (*shownCertificate, error) {
	if a.cfg.TLSCert == "" {
		return nil, a.data.forgetCertificate()
	}
	c := &shownCertificate{certFile: a.cfg.TLSCert, keyFile: a.cfg.TLSKey, data: a.data, log: a.log}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("server: TLS certificate: %w", err)
	}
	return c, nil
}

// config returns the settings for a server that shows the certificate.
func (c *shownCertificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil }}
}

// get returns the certificate, read anew if its files were changed.
func (c *shownCertificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.stamps(); at != c.seen {
		if err := c.load(); err != nil && at != c.refused { // perhaps one of two files is there already
			c.refused = at
			c.log.Error("the certificate was changed and can't be used; the one before is shown on", "file", c.certFile, logkey.Error, err)
		}
	}
	return c.now
}

// load reads the certificate. Except when it is made, c.mu is held.
func (c *shownCertificate) load() error {
	at := c.stamps()
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	renewed := c.now != nil
	c.now, c.seen = &cert, at
	if renewed {
		c.log.Info("the certificate was renewed", "file", c.certFile, "until", cert.Leaf.NotAfter)
	}
	if err := c.data.showCertificate(cert); err != nil {
		c.log.Warn("commands on this machine can't be told the certificate", logkey.Error, err)
	}
	return nil
}

func (c *shownCertificate) stamps() (s stamps) {
	for i, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			continue // load says so
		}
		s[i].size, s[i].modified, s[i].inode = info.Size(), info.ModTime().UnixNano(), fmt.Sprint(info.Sys())
	}
	return s
}

// ReloadCertificate reads the certificate anew, if the service has one. It does so by itself
// when the files were changed; this is for those who want to know at once, in the log.
func (a *App) ReloadCertificate() {
	if a.tls == nil {
		return
	}
	a.tls.mu.Lock()
	defer a.tls.mu.Unlock()
	if err := a.tls.load(); err != nil {
		a.log.Error("the certificate can't be read anew; the one before is shown on", "file", a.tls.certFile, logkey.Error, err)
	}
}

// showCertificate writes the certificates for commands on this machine.
func (d *dataDir) showCertificate(cert tls.Certificate) error {
	var text bytes.Buffer
	for _, der := range cert.Certificate {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return err
		}
	}
	return writeNew(d.file(certificateName), text.Bytes(), 0o644)
}

// forgetCertificate removes what showCertificate wrote.
func (d *dataDir) forgetCertificate() error {
	if err := os.Remove(d.file(certificateName)); err != nil {
		return ignore(err, fs.ErrNotExist)
	}
	failpoint.File(d.file(certificateName), "removed")
	return nil
}
