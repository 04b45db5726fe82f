package main

import (
	"fmt"
	"os"
	"time"

	"parley/internal/config"
	"parley/signaling"
)

// tokenCmd makes a token with the same key and secret that serve would use.
type tokenCmd struct {
	Config     string        `help:"YAML file to take auth.key and auth.secret from." short:"c" placeholder:"FILE" env:"PARLEY_CONFIG"`
	Key        string        `help:"API key, in place of auth.key." placeholder:"KEY"`
	SecretFile string        `help:"File with the secret, in place of auth.secret_file. A secret itself is taken from the environment only (PARLEY_AUTH_SECRET): command lines are visible to others." placeholder:"FILE"`
	Room       string        `help:"The room it is good for." required:""`
	Identity   string        `help:"Who it is for: 1 to 64 characters, the same for the same person." required:""`
	Name       string        `help:"The name others see. Empty: the person chooses."`
	TTL        time.Duration `name:"ttl" help:"How long it may be used to join." default:"1h"`
	Publish    bool          `help:"May speak." default:"true" negatable:""`
	Subscribe  bool          `help:"May listen." default:"true" negatable:""`
	Admin      bool          `help:"May mute others."`
	Record     bool          `help:"May record."`
}

func (c *tokenCmd) Run(io streams) error {
	var flags []config.Setting
	environ := os.Environ()
	if c.Key != "" {
		flags = append(flags, config.Setting{Key: "auth.key", Flag: "--key", Value: c.Key})
	}
	if c.SecretFile != "" {
		flags = append(flags,
			config.Setting{Key: "auth.secret_file", Flag: "--secret-file", Value: c.SecretFile},
			config.Setting{Key: "auth.secret", Flag: "--secret-file", Value: ""})
	}
	cfg, err := config.Load(config.Options{File: c.Config, Environ: environ, Flags: flags})
	if err != nil {
		return usageError{err}
	}
	if cfg.Open() {
		return usageError{fmt.Errorf("no key is configured (auth.key, PARLEY_AUTH_KEY or --key): an open server needs no token")}
	}
	token, err := signaling.NewToken(cfg.Auth.Key, cfg.Auth.Secret, signaling.Token{
		Identity: c.Identity, Name: c.Name, Room: c.Room,
		Grants: signaling.Grants{Publish: c.Publish, Subscribe: c.Subscribe, Admin: c.Admin, Record: c.Record},
	}, c.TTL, time.Now())
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintln(io.out, token)
	return err
}
