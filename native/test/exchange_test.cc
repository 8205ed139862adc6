// Answers are matched to operations, and what is lost is known to be lost.
#include "native/netlink/exchange.h"

#include <set>

#include "native/test/check.h"
#include "native/test/fake_kernel.h"
#include "native/test/tests.h"
#include "native/wire.h"

namespace proxier::test {
namespace {

struct Outcome {
  std::vector<int32_t> results;
  std::vector<netlink::OperationText> texts;
  netlink::ExchangeStats stats;
};

constexpr int32_t kUntouched = 12345;

Outcome Run(Kernel& kernel, netlink::Transport& transport, size_t count) {
  Outcome outcome;
  outcome.results.assign(count, kUntouched);
  netlink::Exchange exchange;
  for (uint32_t i = 0; i < count; i++) {
    if (exchange.Full(transport)) {
      exchange.Flush(transport, outcome.results, outcome.texts, outcome.stats);
      exchange.Clear();
    }
    netlink::MessageWriter& writer = exchange.Begin(i, 99, 0);
    writer.PutU32(1, i);
    CHECK(exchange.End());
  }
  exchange.Flush(transport, outcome.results, outcome.texts, outcome.stats);
  CHECK_EQ(kernel.sends, outcome.stats.round_trips);
  return outcome;
}

Handler FailAt(std::set<size_t> numbers, int error) {
  return [numbers = std::move(numbers), error](const nlmsghdr& header, std::span<const uint8_t>,
                                               size_t number) {
    CHECK_EQ(header.nlmsg_type, 99);
    CHECK((header.nlmsg_flags & NLM_F_REQUEST) != 0);
    return Reply{.error = numbers.contains(number) ? error : 0, .datagrams = {}, .text = "because"};
  };
}

void FailuresAreMatched() {
  for (const std::set<size_t>& failing :
       {std::set<size_t>{}, {0}, {9}, {0, 9}, {3, 4, 5}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}) {
    Kernel kernel{.handler = FailAt(failing, EINVAL)};
    FakeTransport transport(kernel);
    const Outcome outcome = Run(kernel, transport, 10);
    for (size_t i = 0; i < 10; i++) CHECK_EQ(outcome.results[i], failing.contains(i) ? EINVAL : 0);
    CHECK_EQ(outcome.texts.size(), failing.size());
    if (!failing.empty()) CHECK(outcome.texts.front().text == "because");
    CHECK_EQ(outcome.stats.messages, 10U);
    CHECK_EQ(outcome.stats.round_trips, 1U);
  }
}

void LongBatchesAreSplit() {
  Kernel kernel{.handler = FailAt({7, 5000, 9999}, ESRCH)};
  FakeTransport transport(kernel);
  const Outcome outcome = Run(kernel, transport, 10000);
  for (size_t i = 0; i < 10000; i++) {
    CHECK_EQ(outcome.results[i], i == 7 || i == 5000 || i == 9999 ? ESRCH : 0);
  }
  // 24 bytes each.
  CHECK_EQ(outcome.stats.round_trips, 2U);
  Kernel small{.handler = FailAt({}, 0), .message_limit = 100};
  FakeTransport limited(small);
  CHECK_EQ(Run(small, limited, 1000).stats.round_trips, 10U);
}

// Every message fails, and the queue holds only some answers: those are known, all the others are
// not, and the next batch is well.
void LostAnswersAreUnknown() {
  std::set<size_t> all;
  for (size_t i = 0; i < 100; i++) all.insert(i);
  Kernel kernel{.handler = FailAt(all, ENOENT), .capacity = 30};
  FakeTransport transport(kernel);
  const Outcome outcome = Run(kernel, transport, 100);
  for (size_t i = 0; i < 100; i++) CHECK_EQ(outcome.results[i], i < 30 ? ENOENT : kUnknown);
  kernel.sends = 0;
  const Outcome next = Run(kernel, transport, 10);
  for (size_t i = 0; i < 10; i++) CHECK_EQ(next.results[i], 0);
}

// What succeeded before a known failure is known; after it, without the last answer, it is not.
void SilenceIsNotSuccess() {
  Kernel kernel{.handler = FailAt({2}, EEXIST), .capacity = 1};
  FakeTransport transport(kernel);
  const Outcome outcome = Run(kernel, transport, 5);
  const int32_t wanted[] = {0, 0, EEXIST, kUnknown, kUnknown};
  for (size_t i = 0; i < 5; i++) CHECK_EQ(outcome.results[i], wanted[i]);
}

void ForeignAndOldAnswersAreIgnored() {
  Kernel kernel{.handler = FailAt({1}, EPERM)};
  FakeTransport transport(kernel);
  nlmsghdr stranger{};
  for (const uint32_t sequence : {0U, 1000000U, 0xffffffffU}) {
    stranger.nlmsg_seq = sequence;
    transport.Queue(Acknowledge(stranger, EIO));
  }
  transport.Queue(Message(NLMSG_DONE, 0, 1, {}));
  transport.Queue({1, 2, 3});
  const Outcome outcome = Run(kernel, transport, 3);
  CHECK_EQ(outcome.results[0], 0);
  CHECK_EQ(outcome.results[1], EPERM);
  CHECK_EQ(outcome.results[2], 0);
}

void RefusedSendsFailAll() {
  Kernel kernel{.handler = FailAt({}, 0), .send_error = ENOMEM};
  FakeTransport transport(kernel);
  const Outcome outcome = Run(kernel, transport, 3);
  for (const int32_t result : outcome.results) CHECK_EQ(result, ENOMEM);
}

void DroppedMessagesLeaveNoTrace() {
  Kernel kernel{.handler = FailAt({}, 0)};
  FakeTransport transport(kernel);
  netlink::Exchange exchange;
  std::vector<int32_t> results(2, kUntouched);
  std::vector<netlink::OperationText> texts;
  netlink::ExchangeStats stats;
  exchange.Begin(0, 99, 0).PutU32(1, 1);
  exchange.Drop();
  netlink::MessageWriter& writer = exchange.Begin(1, 99, 0);
  std::vector<uint8_t> much(60000);
  for (int i = 0; i < 3; i++) writer.PutBytes(1, much);
  CHECK(!exchange.End());
  exchange.Flush(transport, results, texts, stats);
  CHECK_EQ(kernel.sends, 0U);
  CHECK_EQ(results[0], kUntouched);
}

}  // namespace

void TestExchange() {
  FailuresAreMatched();
  LongBatchesAreSplit();
  LostAnswersAreUnknown();
  SilenceIsNotSuccess();
  ForeignAndOldAnswersAreIgnored();
  RefusedSendsFailAll();
  DroppedMessagesLeaveNoTrace();
}

}  // namespace proxier::test
