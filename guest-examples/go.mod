module github.com/tidewheel/tidewheel/guest-examples

go 1.25

require github.com/tidewheel/tidewheel/sdk/go v0.1.0

// The SDK of this repository.
replace github.com/tidewheel/tidewheel/sdk/go => ../sdk/go
