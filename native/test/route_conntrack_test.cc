// Local routes and connections: records to messages and back, the delete that may never be a flush,
// and a monitor that overflows.
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <deque>

#include "native/conntrack/codec.h"
#include "native/route/codec.h"
#include "native/route/local_route.h"
#include "native/session/monitor.h"
#include "native/session/session.h"
#include "native/test/check.h"
#include "native/test/fake_kernel.h"
#include "native/test/samples.h"
#include "native/test/tests.h"

namespace proxier::test {
namespace {

using netlink::Attributes;
using netlink::MessageWriter;

struct Body {
  std::array<uint8_t, 2048> bytes{};
  size_t length = 0;
  bool whole = false;
  [[nodiscard]] std::span<const uint8_t> span() const { return std::span(bytes).first(length); }
};

constexpr uint8_t kProtocols4[] = {6, 17, 132, 1};
constexpr uint8_t kProtocols6[] = {6, 17, 132, 58};
std::span<const uint8_t> ProtocolsOf(uint8_t family) {
  return family == 4 ? std::span<const uint8_t>(kProtocols4) : std::span<const uint8_t>(kProtocols6);
}

void AddressFlagsAndLifetimesRoundTrip() {
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    std::vector<uint8_t> record;
    RecordWriter writer(record);
    LinkAddress(writer, Opcode::kEnsureAddress, family, "kube-ipvs0");
    Body body;
    MessageWriter message(body.bytes);
    CHECK(route::EncodeAddress(Opcode::kEnsureAddress, record, 3, message));
    body.length = message.length();
    std::vector<uint8_t> decoded;
    RecordWriter out(decoded);
    CHECK(route::DecodeAddress(body.span(), out, kChangeRemoved));
    RecordReader reader(decoded);
    CHECK_EQ(reader.flags(), kChangeRemoved);
    CHECK_EQ(reader.U32(), 3U);
    CHECK_EQ(reader.U8(), family);
    reader.U8();
    CHECK_EQ(reader.U8(), 254);
    CHECK_EQ(reader.U8(), family == 4 ? kAddressNoPrefixRoute
                                      : kAddressNoDad | kAddressNoPrefixRoute);
    reader.Address();
    CHECK_EQ(reader.U32(), 3600U);
    CHECK_EQ(reader.U32(), 0U);
    CHECK(reader.ok());
  }
  CHECK_EQ(route::MessageFlags(Opcode::kEnsureAddress), NLM_F_CREATE | NLM_F_REPLACE);
}

void LocalRoutesRoundTrip() {
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const bool source : {false, true}) {
      std::vector<uint8_t> record;
      RecordWriter writer(record);
      LocalRoute(writer, Opcode::kAddLocalRoute, family, 200, source);
      Body body;
      MessageWriter message(body.bytes);
      CHECK(route::EncodeLocalRoute(record, 7, message));
      body.length = message.length();
      for (const uint8_t owner : {uint8_t{0}, uint8_t{200}, uint8_t{201}}) {
        std::vector<uint8_t> decoded;
        RecordWriter out(decoded);
        CHECK(route::DecodeLocalRoute(body.span(), owner, out));
        CHECK_EQ(decoded.empty(), owner == 201);
        if (owner == 201) continue;
        std::vector<uint8_t> wanted;
        RecordWriter state(wanted);
        state.Begin(Opcode::kLocalRouteState);
        state.U32(7);
        LocalRouteBody(state, family, 200, source);
        state.End();
        CHECK(decoded == wanted);
      }
    }
  }
  // Owners that are everybody's or the kernel's are no owners.
  for (const uint8_t owner : {uint8_t{0}, uint8_t{2}, uint8_t{3}}) {
    std::vector<uint8_t> record;
    RecordWriter writer(record);
    LocalRoute(writer, Opcode::kRemoveLocalRoute, 4, owner, false);
    CHECK(route::LocalRouteLink(record).empty());
    Body body;
    MessageWriter message(body.bytes);
    CHECK(!route::EncodeLocalRoute(record, 7, message));
  }
}

Body EncodeRemoval(std::span<const uint8_t> record) {
  Body body;
  MessageWriter writer(body.bytes);
  body.whole = conntrack::EncodeRemoval(record, writer);
  body.length = writer.length();
  return body;
}

conntrack::Filter Everything() {
  std::vector<uint8_t> record;
  RecordWriter writer(record);
  ConnectionFilter(writer, 0, 0, 0);
  conntrack::Filter filter;
  CHECK(filter.Read(record));
  return filter;
}

// A dump's message of the connection that a removal names; the reply has the same tuple.
Body Dumped(const Body& removal) {
  const Attributes<CTA_ZONE + 1> sent(removal.span().subspan(NLMSG_ALIGN(sizeof(nfgenmsg))));
  Body dumped;
  MessageWriter writer(dumped.bytes);
  writer.Raw(removal.span().data(), sizeof(nfgenmsg));
  for (const uint16_t type : {CTA_TUPLE_ORIG, CTA_TUPLE_REPLY})
    writer.PutBytes(type | NLA_F_NESTED, sent[CTA_TUPLE_ORIG].bytes());
  writer.PutBe32(CTA_STATUS, 0x18e);
  writer.PutBe32(CTA_TIMEOUT, 431999);
  writer.PutBe32(CTA_MARK, 0x4000);
  writer.PutBytes(CTA_ID, sent[CTA_ID].bytes());
  writer.PutBytes(CTA_ZONE, sent[CTA_ZONE].bytes());
  dumped.length = writer.length();
  return dumped;
}

void ConnectionsRoundTrip() {
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const uint8_t protocol : ProtocolsOf(family)) {
      std::vector<uint8_t> record;
      RecordWriter writer(record);
      ConnectionRemoval(writer, family, protocol, 9, 0x01020304);
      const Body removal = EncodeRemoval(record);
      CHECK(removal.whole);
      CHECK(conntrack::NamesOneConnection(removal.span()));
      std::vector<uint8_t> wanted;
      RecordWriter state(wanted);
      state.Begin(Opcode::kConnectionState);
      state.U8(family);
      state.U8(protocol);
      state.U16(9);
      for (const uint32_t value : {0x01020304U, 0x18eU, 431999U, 0x4000U}) state.U32(value);
      for (int i = 0; i < 2; i++) {
        state.U16(4711);
        state.U16(53);
      }
      for (int i = 0; i < 4; i++) state.Address(AddressOf(family));
      state.End();
      std::vector<uint8_t> decoded;
      RecordWriter out(decoded);
      CHECK(conntrack::Decode(Dumped(removal).span(), Everything(), out));
      CHECK(decoded == wanted);
    }
  }
}

// To the kernel a delete without a tuple is a flush. Whatever record comes, in whatever room: either
// it is refused, or the message names one connection.
void NoRemovalIsAFlush() {
  Random random(3);
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const uint8_t protocol : ProtocolsOf(family)) {
      std::vector<uint8_t> record;
      RecordWriter record_writer(record);
      ConnectionRemoval(record_writer, family, protocol, 9, 7);
      const Body whole = EncodeRemoval(record);
      for (size_t room = 0; room <= whole.length; room++) {
        std::vector<uint8_t> buffer(room);
        MessageWriter writer(buffer);
        CHECK_EQ(conntrack::EncodeRemoval(record, writer), room == whole.length);
      }
      for (size_t length = 0; length < record.size(); length++)
        CHECK(!EncodeRemoval(Exact(std::span(record).first(length)).span()).whole);
      for (int round = 0; round < 2000; round++) {
        Exact garbled{std::span(record)};
        for (int i = 0; i < 4; i++)
          garbled.writable()[random.Below(record.size())] = static_cast<uint8_t>(random.Next());
        const Body body = EncodeRemoval(garbled.span());
        if (body.whole) CHECK(conntrack::NamesOneConnection(body.span()));
      }
      // What the check itself believes: no message that lost any byte of its tuple.
      const size_t tuple = NLMSG_ALIGN(sizeof(nfgenmsg)) +
                           NLA_ALIGN(NLA_HDRLEN + Attributes<2>(whole.span().subspan(
                                                      sizeof(nfgenmsg)))[CTA_TUPLE_ORIG]
                                                      .bytes()
                                                      .size());
      for (size_t length = 0; length < tuple; length++)
        CHECK(!conntrack::NamesOneConnection(Exact(whole.span().first(length)).span()));
    }
    // A protocol of the other family, and one without a tuple that is understood.
    for (const uint8_t protocol : {uint8_t{0}, uint8_t{47}, family == 4 ? uint8_t{58} : uint8_t{1}}) {
      std::vector<uint8_t> record;
      RecordWriter writer(record);
      ConnectionRemoval(writer, family, protocol, 0, 7);
      CHECK(!EncodeRemoval(record).whole);
    }
  }
  // Nor does a session send one: what it refuses never reaches the kernel.
  size_t deletes = 0;
  Kernel kernel{.handler = [&](const nlmsghdr& header, std::span<const uint8_t> payload, size_t) {
    if (header.nlmsg_type == conntrack::DeleteMessageType()) {
      deletes++;
      CHECK(conntrack::NamesOneConnection(payload));
    }
    return Reply{};
  }};
  Session session(Open(kernel));
  std::vector<uint8_t> records;
  RecordWriter writer(records);
  ConnectionRemoval(writer, 4, 17, 0, 1);
  writer.Begin(Opcode::kRemoveConnection);
  writer.End();
  ConnectionRemoval(writer, 6, 47, 0, 1);
  ConnectionFilter(writer, 4, 17, 0);
  ConnectionRemoval(writer, 6, 6, 0, 1);
  std::vector<int32_t> results(5);
  RunReport report;
  session.Run(records, results, report);
  CHECK_EQ(deletes, 2U);
  CHECK(results == (std::vector<int32_t>{0, EBADMSG, EBADMSG, EBADMSG, 0}));
}

void FiltersAskTheKernelAndLookAgain() {
  std::vector<uint8_t> removal;
  RecordWriter removal_writer(removal);
  ConnectionRemoval(removal_writer, 4, 17, 9, 7);
  const Body message = Dumped(EncodeRemoval(removal));
  // Every field alone, and all at once; equal as in the sample, or another.
  for (uint32_t fields = 0; fields < 0x400; fields++) {
    std::vector<uint8_t> record;
    RecordWriter writer(record);
    ConnectionFilter(writer, 4, 17, static_cast<uint16_t>(fields));
    conntrack::Filter filter;
    CHECK(filter.Read(record));
    std::vector<uint8_t> decoded;
    RecordWriter out(decoded);
    CHECK(conntrack::Decode(message.span(), filter, out));
    CHECK(!decoded.empty());
    Body request;
    MessageWriter request_writer(request.bytes);
    filter.EncodeRequest(request_writer);
    request.length = request_writer.length();
    constexpr uint16_t kFilter = 25;
    const Attributes<kFilter + 1> asked(request.span().subspan(sizeof(nfgenmsg)));
    CHECK(asked[kFilter].present());
    CHECK_EQ(asked[CTA_TUPLE_REPLY].present(), (fields & 0xf0) != 0);
    CHECK_EQ(asked[CTA_MARK].present(), (fields & 0x100) != 0);
    // Another value of any of these fields takes the connection out again.
    for (size_t at = kHeaderBytes + 4; at < record.size(); at++) {
      std::vector<uint8_t> other = record;
      other[at] ^= 0x80;
      conntrack::Filter another;
      CHECK(another.Read(other));
      std::vector<uint8_t> kept;
      RecordWriter kept_writer(kept);
      conntrack::Decode(message.span(), another, kept_writer);
      if (fields == 0) CHECK(!kept.empty());
    }
  }
  std::vector<uint8_t> all;
  RecordWriter writer(all);
  ConnectionFilter(writer, 4, 17, 0x3ff);
  for (const size_t at : std::initializer_list<size_t>{4, 5, 8, 10, 12, 14, 16, 20, 28, 44, 60, 76}) {
    std::vector<uint8_t> other = all;
    other[at] ^= 2;
    conntrack::Filter filter;
    std::vector<uint8_t> decoded;
    RecordWriter out(decoded);
    if (filter.Read(other)) conntrack::Decode(message.span(), filter, out);
    CHECK(decoded.empty());
  }
}

void LyingConnectionsAreSafe(int rounds) {
  Random random(4);
  const conntrack::Filter everything = Everything();
  const auto decode = [&](std::span<const uint8_t> payload) {
    std::vector<uint8_t> out;
    RecordWriter writer(out);
    conntrack::Decode(payload, everything, writer);
    route::DecodeLocalRoute(payload, 0, writer);
    CHECK_EQ(out.size() % 4, 0U);
  };
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const uint8_t protocol : ProtocolsOf(family)) {
      std::vector<uint8_t> record;
      RecordWriter writer(record);
      ConnectionRemoval(writer, family, protocol, 9, 7);
      const Body message = Dumped(EncodeRemoval(record));
      for (size_t length = 0; length <= message.length; length++)
        decode(Exact(message.span().first(length)).span());
      for (int round = 0; round < rounds; round++) {
        Exact garbled(message.span().first(random.Below(message.length + 1)));
        for (size_t i = random.Below(8); i > 0 && !garbled.span().empty(); i--)
          garbled.writable()[random.Below(garbled.span().size())] = static_cast<uint8_t>(random.Next());
        decode(garbled.span());
      }
    }
  }
}

// A socket that was told something, and lost something between.
class Told final : public netlink::Transport {
 public:
  int Send(std::span<const uint8_t>) override { return 0; }
  int Receive(bool wait, std::vector<std::span<const uint8_t>>& datagrams) override {
    CHECK(!wait);
    datagrams.clear();
    if (queue.empty()) return EAGAIN;
    current_ = std::move(queue.front());
    queue.pop_front();
    if (current_.empty()) return ENOBUFS;
    datagrams.emplace_back(current_);
    return 0;
  }
  [[nodiscard]] size_t MessageLimit() const override { return 1; }
  int Join(uint32_t group) override {
    groups.push_back(group);
    return 0;
  }

  std::deque<Datagram> queue;
  std::vector<uint32_t> groups;

 private:
  Datagram current_;
};

void MonitorsTellWhatTheyLost() {
  auto owned = std::make_unique<Told>();
  Told& socket = *owned;
  Monitor monitor(std::move(owned));
  CHECK_EQ(monitor.Join(), 0);
  CHECK_EQ(socket.groups.size(), 3U);
  std::vector<uint8_t> record;
  RecordWriter writer(record);
  LinkAddress(writer, Opcode::kAddAddress, 4, "kube-ipvs0");
  Body body;
  MessageWriter message(body.bytes);
  CHECK(route::EncodeAddress(Opcode::kAddAddress, record, 3, message));
  body.length = message.length();
  ifinfomsg bridge{};
  bridge.ifi_family = AF_BRIDGE;
  const std::span<const uint8_t> port(reinterpret_cast<const uint8_t*>(&bridge), sizeof bridge);
  socket.queue = {Message(RTM_NEWADDR, 0, 0, body.span()), Datagram(),
                  Message(RTM_DELLINK, 0, 0, port), Message(RTM_DELADDR, 0, 0, body.span())};
  std::vector<uint8_t> out;
  CHECK_EQ(monitor.Next(out), 0);
  std::vector<std::pair<Opcode, uint8_t>> told;
  for (size_t at = 0; at < out.size(); at += static_cast<size_t>(out[at] | out[at + 1] << 8))
    told.emplace_back(static_cast<Opcode>(out[at + 2]), out[at + 3]);
  CHECK(told == (std::vector<std::pair<Opcode, uint8_t>>{{Opcode::kAddressState, uint8_t{0}},
                                                         {Opcode::kChangesLost, uint8_t{0}},
                                                         {Opcode::kAddressState, kChangeRemoved}}));
  out.clear();
  CHECK_EQ(monitor.Next(out), 0);
  CHECK(out.empty());
}

}  // namespace

void TestRouteConntrack(int rounds) {
  AddressFlagsAndLifetimesRoundTrip();
  LocalRoutesRoundTrip();
  ConnectionsRoundTrip();
  NoRemovalIsAFlush();
  FiltersAskTheKernelAndLookAgain();
  LyingConnectionsAreSafe(rounds / 8);
  MonitorsTellWhatTheyLost();
}

}  // namespace proxier::test
