// Answers to a batch: whatever arrives, each operation ends up with exactly one outcome.
#include "native/netlink/exchange.h"
#include "native/test/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int32_t kUntouched = INT32_MIN;
  constexpr uint32_t kOperations = 8;
  proxier::test::ScriptedTransport transport({data, size});
  proxier::netlink::Exchange exchange;
  std::vector<proxier::netlink::OperationText> texts;
  proxier::netlink::ExchangeStats stats;
  for (int round = 0; round < 2; round++) {
    std::vector<int32_t> results(kOperations, kUntouched);
    for (uint32_t i = 0; i < kOperations; i++) {
      exchange.Begin(i, 99, 0).PutU32(1, i);
      CHECK(exchange.End());
    }
    exchange.Flush(transport, results, texts, stats);
    exchange.Clear();
    for (const int32_t result : results) CHECK(result >= proxier::kUnknown);
    for (const auto& text : texts) CHECK(text.operation < kOperations);
  }
  return 0;
}
