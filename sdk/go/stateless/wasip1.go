//go:build wasip1

package stateless

import (
	"unsafe"

	"github.com/tidewheel/tidewheel/sdk/go/internal/abi"
	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

//go:wasmexport tidewheel:operator/transformer@0.1.0#describe
func describe() unsafe.Pointer {
	return abi.Description(exported.Get().Describe())
}

//go:wasmexport tidewheel:operator/transformer@0.1.0#open
func open(config unsafe.Pointer, configLen uint32, options unsafe.Pointer, optionsLen uint32) unsafe.Pointer {
	host.Grant(abi.Pairs(options, optionsLen))
	return abi.Result(nil, exported.Get().Open(string(abi.Take(config, configLen))))
}

//go:wasmexport tidewheel:operator/transformer@0.1.0#process
func process(now, watermark, seed int64, batch unsafe.Pointer, batchLen uint32) unsafe.Pointer {
	return abi.Result(exported.Get().Records(call(now, watermark, seed), abi.Take(batch, batchLen)))
}

func call(now, watermark, seed int64) contract.Call {
	return contract.Call{Now: now, Watermark: watermark, Seed: uint64(seed)}
}
