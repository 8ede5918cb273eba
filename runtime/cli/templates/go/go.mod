module operator-name

go 1.25

require github.com/tidewheel/tidewheel/sdk/go v0.1.0
