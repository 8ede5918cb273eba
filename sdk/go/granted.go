package tidewheel

import "github.com/tidewheel/tidewheel/sdk/go/internal/host"

// Env is an environment variable that the job grants this operator, by grants = ["env:NAME"] in its table; others are not
// seen, nor does os.Getenv see any. Its value is that from when the job was started. It is there from the operator's Open
// on, not in init. In a test [github.com/tidewheel/tidewheel/sdk/go/tidewheeltest.WithEnv] grants it.
func Env(name string) (value string, granted bool) { return host.Option("env:" + name) }
