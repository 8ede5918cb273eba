module github.com/tidewheel/tidewheel/sdk/go

go 1.25
