//go:build wasip1

package aggregate

import (
	"unsafe"

	"github.com/tidewheel/tidewheel/sdk/go/internal/abi"
	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

//go:wasmexport tidewheel:operator/aggregator@0.1.0#describe
func describe() unsafe.Pointer {
	return abi.Description(exported.Get().Describe())
}

//go:wasmexport tidewheel:operator/aggregator@0.1.0#open
func open(config unsafe.Pointer, configLen uint32, options unsafe.Pointer, optionsLen uint32) unsafe.Pointer {
	host.Grant(abi.Pairs(options, optionsLen))
	return abi.Result(nil, exported.Get().Open(string(abi.Take(config, configLen))))
}

//go:wasmexport tidewheel:operator/aggregator@0.1.0#accumulate
func accumulate(now, watermark, seed int64, batch unsafe.Pointer, batchLen uint32) unsafe.Pointer {
	return abi.Result(exported.Get().Records(call(now, watermark, seed), abi.Take(batch, batchLen)))
}

//go:wasmexport tidewheel:operator/aggregator@0.1.0#merge
func merge(now, watermark, seed int64, batch unsafe.Pointer, batchLen uint32) unsafe.Pointer {
	return abi.Result(exported.Get().Merge(call(now, watermark, seed), abi.Take(batch, batchLen)))
}

//go:wasmexport tidewheel:operator/aggregator@0.1.0#fire
func fire(now, watermark, seed int64, batch unsafe.Pointer, batchLen uint32) unsafe.Pointer {
	return abi.Result(exported.Get().Due(call(now, watermark, seed), abi.Take(batch, batchLen)))
}

//go:wasmexport tidewheel:operator/aggregator@0.1.0#migrate
func migrate(state, version uint32, values unsafe.Pointer, valuesLen uint32) unsafe.Pointer {
	return abi.Result(exported.Get().Migrate(state, version, abi.Take(values, valuesLen)))
}

func call(now, watermark, seed int64) contract.Call {
	return contract.Call{Now: now, Watermark: watermark, Seed: uint64(seed)}
}
