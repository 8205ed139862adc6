// Records to messages and back, and what is no whole record or no whole message.
#include "native/ipset/codec.h"

#include <linux/genetlink.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>

#include "native/ipvs/codec.h"
#include "native/netlink/exchange.h"
#include "native/route/codec.h"
#include "native/test/check.h"
#include "native/test/samples.h"
#include "native/test/tests.h"

namespace proxier::test {
namespace {

using netlink::MessageWriter;

struct Body {
  std::array<uint8_t, 2048> bytes{};
  size_t length = 0;
  bool whole = false;
  [[nodiscard]] std::span<const uint8_t> span() const { return std::span(bytes).first(length); }
};

Body Encode(std::span<const uint8_t> record) {
  Body body;
  MessageWriter writer(body.bytes);
  const auto opcode = static_cast<Opcode>(record[2]);
  switch (record[2] >> 4) {
    case 1:
      body.whole = ipvs::EncodeOperation(opcode, record, writer);
      break;
    case 2:
      body.whole = ipset::EncodeOperation(opcode, record, 7, writer);
      break;
    default:
      body.whole = route::EncodeAddress(opcode, record, 3, writer);
  }
  body.length = writer.length();
  CHECK(!writer.overflowed());
  return body;
}

bool IsLinkOperation(std::span<const uint8_t> record) {
  return record[2] == static_cast<uint8_t>(Opcode::kEnsureLink) ||
         record[2] == static_cast<uint8_t>(Opcode::kRemoveLink);
}

void Equal(const std::vector<uint8_t>& got, const std::vector<uint8_t>& wanted) {
  CHECK_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); i++) CHECK_EQ(got[i], wanted[i]);
}

void ServicesRoundTrip() {
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const uint8_t protocol : {uint8_t{6}, uint8_t{132}, uint8_t{0}}) {
      std::vector<uint8_t> record;
      RecordWriter writer(record);
      Service(writer, Opcode::kServiceState, family, protocol, 24);
      std::vector<uint8_t> operation = record;
      operation[2] = static_cast<uint8_t>(Opcode::kCreateService);
      const Body body = Encode(operation);
      CHECK(body.whole);
      std::vector<uint8_t> decoded;
      RecordWriter out(decoded);
      CHECK(ipvs::DecodeService(body.span(), out));
      Equal(decoded, record);
    }
  }
}

void DestinationsRoundTrip() {
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    std::vector<uint8_t> operation;
    RecordWriter writer(operation);
    Destination(writer, Opcode::kCreateDestination, family);
    const Body body = Encode(operation);
    CHECK(body.whole);
    std::vector<uint8_t> wanted;
    RecordWriter state(wanted);
    state.Begin(Opcode::kDestinationState);
    DestinationBody(state, family);
    for (int i = 0; i < 3; i++) state.U32(0);
    state.End();
    std::vector<uint8_t> decoded;
    RecordWriter out(decoded);
    CHECK(ipvs::DecodeDestination(body.span(), AF_INET, out));
    Equal(decoded, wanted);
  }
}

// A LIST message that holds the entry of an ADD message.
Body ListMessage(const Body& add, std::string_view type, uint8_t family) {
  const netlink::Attributes<IPSET_ATTR_CMD_MAX + 1> sent(add.span().subspan(sizeof(nfgenmsg)));
  Body list;
  MessageWriter writer(list.bytes);
  const nfgenmsg header = {.nfgen_family = AF_INET, .version = 0, .res_id = 0};
  writer.Raw(&header, sizeof header);
  writer.PutString(IPSET_ATTR_SETNAME, "KUBE-CLUSTER-IP");
  writer.PutString(IPSET_ATTR_TYPENAME, type);
  writer.PutU8(IPSET_ATTR_FAMILY, family == 4 ? 2 : 10);
  const size_t nest = writer.BeginNest(IPSET_ATTR_ADT);
  for (int i = 0; i < 2; i++) {
    writer.Put(IPSET_ATTR_DATA | NLA_F_NESTED, sent[IPSET_ATTR_DATA].bytes().data(),
               sent[IPSET_ATTR_DATA].bytes().size());
  }
  writer.EndNest(nest);
  list.length = writer.length();
  return list;
}

void EntriesRoundTrip() {
  constexpr const char* kNames[] = {"",
                                    "hash:ip",
                                    "hash:net",
                                    "hash:ip,port",
                                    "hash:ip,port,ip",
                                    "hash:ip,port,net",
                                    "hash:net,iface",
                                    "bitmap:port"};
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const SetType type : kSetTypes) {
      for (const uint8_t flags : {uint8_t{0}, kEntryNomatch, kEntryPhysdev}) {
        std::vector<uint8_t> operation;
        RecordWriter writer(operation);
        Entry(writer, Opcode::kAddEntry, type, family, flags);
        const Body body = Encode(operation);
        CHECK(body.whole);
        std::vector<uint8_t> wanted;
        RecordWriter state(wanted);
        for (int i = 0; i < 2; i++) {
          state.Begin(Opcode::kEntryState, flags);
          EntryBody(state, type, family);
          if (type == SetType::kHashNetIface) state.String("eth0");
          state.End();
        }
        std::vector<uint8_t> decoded;
        RecordWriter out(decoded);
        ipset::EntriesReader reader;
        CHECK(reader.Decode(ListMessage(body, kNames[static_cast<size_t>(type)], family).span(),
                            out));
        Equal(decoded, wanted);
      }
    }
  }
}

void AddressesRoundTrip() {
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    std::vector<uint8_t> operation;
    RecordWriter writer(operation);
    LinkAddress(writer, Opcode::kAddAddress, family, "kube-ipvs0");
    const Body body = Encode(operation);
    CHECK(body.whole);
    std::vector<uint8_t> wanted;
    RecordWriter state(wanted);
    state.Begin(Opcode::kAddressState);
    state.U32(3);
    state.U8(family);
    state.U8(family == 4 ? 32 : 128);
    state.U8(254);
    // Deprecation is asked for with lifetimes and reported as a flag.
    state.U8(0);
    state.Address(AddressOf(family));
    state.End();
    std::vector<uint8_t> decoded;
    RecordWriter out(decoded);
    CHECK(route::DecodeAddress(body.span(), out));
    Equal(decoded, wanted);
  }
}

// A flush or destroy without a name would mean every set.
void NamelessSetsAreRefused() {
  for (const Opcode opcode : {Opcode::kRemoveSet, Opcode::kFlushSet, Opcode::kSwapSets}) {
    std::vector<uint8_t> record;
    RecordWriter writer(record);
    Names(writer, opcode, "");
    CHECK(!Encode(record).whole);
  }
}

void CutAndGarbledRecordsAreSafe() {
  Random random(1);
  for (const std::vector<uint8_t>& record : AllOperations()) {
    if (IsLinkOperation(record)) continue;
    CHECK(Encode(record).whole);
    // Cut at every length; the padding may go unnoticed, a field may not.
    for (size_t length = kHeaderBytes; length + 4 <= record.size(); length++) {
      const Exact cut(std::span(record).first(length));
      CHECK(!Encode(cut.span()).whole);
    }
    for (int round = 0; round < 200; round++) {
      Exact garbled{std::span(record)};
      for (int i = 0; i < 4; i++) {
        const size_t at = kHeaderBytes + random.Below(record.size() - kHeaderBytes);
        garbled.writable()[at] = static_cast<uint8_t>(random.Next());
      }
      Encode(garbled.span());
    }
  }
}

void DecodeEverything(std::span<const uint8_t> payload) {
  std::vector<uint8_t> out;
  RecordWriter writer(out);
  ipvs::DecodeService(payload, writer);
  ipvs::DecodeDestination(payload, AF_INET6, writer);
  ipset::DecodeSet(payload, writer);
  ipset::EntriesReader reader;
  reader.Decode(payload, writer);
  reader.Decode(payload, writer);
  route::DecodeLink(payload, writer);
  route::DecodeAddress(payload, writer);
  nlmsghdr header{};
  header.nlmsg_flags = NLM_F_ACK_TLVS;
  netlink::ReadAnswer(header, payload);
  netlink::ForEachMessage(payload, [](const nlmsghdr&, std::span<const uint8_t>) {});
  // Whatever came in, whole records went out.
  size_t at = 0;
  while (at < out.size()) {
    CHECK(out.size() - at >= kHeaderBytes);
    const size_t length = static_cast<size_t>(out[at] | out[at + 1] << 8);
    CHECK(length >= kHeaderBytes && length % 4 == 0 && length <= out.size() - at);
    at += length;
  }
}

}  // namespace

void TestCodecs() {
  ServicesRoundTrip();
  DestinationsRoundTrip();
  EntriesRoundTrip();
  AddressesRoundTrip();
  NamelessSetsAreRefused();
  CutAndGarbledRecordsAreSafe();
}

void FuzzDecoders(int rounds) {
  Random random(2);
  std::vector<std::vector<uint8_t>> bodies;
  for (const std::vector<uint8_t>& record : AllOperations()) {
    if (IsLinkOperation(record)) continue;
    const Body body = Encode(record);
    bodies.emplace_back(body.span().begin(), body.span().end());
    const Body list = ListMessage(body, "hash:ip,port,net", 4);
    bodies.emplace_back(list.span().begin(), list.span().end());
  }
  for (const std::vector<uint8_t>& body : bodies) {
    for (size_t length = 0; length <= body.size(); length++)
      DecodeEverything(Exact(std::span(body).first(length)).span());
  }
  for (int round = 0; round < rounds; round++) {
    const std::vector<uint8_t>& body = bodies[random.Below(bodies.size())];
    Exact garbled(std::span(body).first(random.Below(body.size() + 1)));
    for (size_t i = random.Below(8); i > 0 && !garbled.span().empty(); i--) {
      garbled.writable()[random.Below(garbled.span().size())] = static_cast<uint8_t>(random.Next());
    }
    DecodeEverything(garbled.span());
  }
  for (int round = 0; round < rounds; round++) {
    std::vector<uint8_t> noise(random.Below(200));
    for (uint8_t& byte : noise)
      byte = static_cast<uint8_t>(random.Next() & (random.Below(2) == 0 ? 0x1f : 0xff));
    DecodeEverything(Exact(noise).span());
  }
}

}  // namespace proxier::test
