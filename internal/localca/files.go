package localca

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// maxFile is far above what two PEM blocks take.
const maxFile = 64 << 10

// load reads a key and its certificate. Errors name the file: fs.ErrNotExist when it is not there, ErrDamaged when it
// cannot be used.
func load(path string, log *zap.Logger) (*keyPair, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	damaged := func(what string) error { return fmt.Errorf("local CA: %w: %s %s", ErrDamaged, path, what) }
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, damaged("is not a certificate file")
	}
	if err := tighten(path, 0o600, log); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	if len(data) == 0 {
		return nil, damaged("is empty")
	}
	var pair keyPair
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			if pair.cert != nil {
				return nil, damaged("holds more than one certificate")
			}
			if pair.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
				return nil, damaged("holds a certificate that cannot be read: " + err.Error())
			}
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, damaged("holds a key that cannot be read") // no detail: it is a key
			}
			var ok bool
			if pair.key, ok = key.(*ecdsa.PrivateKey); !ok {
				return nil, damaged("holds a key that is not ECDSA")
			}
		}
	}
	switch {
	case pair.cert == nil:
		return nil, damaged("holds no certificate")
	case pair.key == nil:
		return nil, damaged("holds no key (cut short?)")
	case !pair.key.PublicKey.Equal(pair.cert.PublicKey):
		return nil, damaged("holds a key that does not belong to its certificate")
	}
	return &pair, nil
}

// tighten takes away what others may do with a file or directory.
func tighten(path string, mode fs.FileMode, log *zap.Logger) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("local CA: %w", err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	log.Warn("others could read this, taking it away", zap.String("file", path), zap.Stringer("mode", info.Mode().Perm()))
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("local CA: %s is open to others: %w", path, err)
	}
	return nil
}

// store replaces a file as a whole: after a crash it is the old one or the new one.
func store(path string, data []byte) error {
	return write(path, data, os.Rename)
}

// storeNew makes a file that must not exist yet; fs.ErrExist when it does.
func storeNew(path string, data []byte) error {
	return write(path, data, func(from, to string) error {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		// A file system without hard links: the check and the rename are two steps, which matters to two processes that
		// start for the first time in the same instant.
		if _, statErr := os.Stat(to); statErr == nil {
			return fs.ErrExist
		}
		return os.Rename(from, to)
	})
}

// write puts data into a temporary file with mode 0600 beside path, on disk, and then lets place put it there.
func write(path string, data []byte, place func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after a rename, a second name after a link
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := place(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
