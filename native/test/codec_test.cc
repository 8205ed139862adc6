// Records to messages and back, and what is no whole record or no whole message.
#include "native/ipset/codec.h"

#include <linux/genetlink.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>

#include "native/conntrack/codec.h"
#include "native/ipvs/codec.h"
#include "native/netlink/exchange.h"
#include "native/route/codec.h"
#include "native/route/local_route.h"
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
      body.whole = ipset::EncodeOperation(opcode, record, {.version = 7, .revision = 5}, writer);
      break;
    case 4:
      body.whole = conntrack::EncodeRemoval(record, writer);
      break;
    default:
      body.whole = route::IsLocalRouteOperation(opcode)
                       ? route::EncodeLocalRoute(record, 3, writer)
                       : route::EncodeAddress(opcode, record, 3, writer);
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
      constexpr uint8_t kBoth = kEntryTimeout | kEntryComment;
      for (const uint8_t flags : {uint8_t{0}, kEntryNomatch, kEntryPhysdev, kEntryTimeout,
                                  kEntryComment, uint8_t{kBoth | kEntryNomatch}}) {
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
          EntryOptions(state, type, flags);
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

// A header as the kernel lists it comes back as the record the set was created with.
void SetsRoundTrip() {
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const SetType type : kSetTypes) {
      std::vector<uint8_t> operation;
      RecordWriter writer(operation);
      Set(writer, Opcode::kCreateSet, type, family);
      const Body body = Encode(operation);
      CHECK(body.whole);
      const bool bitmap = type == SetType::kBitmapPort;
      std::vector<uint8_t> decoded;
      RecordWriter out(decoded);
      CHECK(ipset::DecodeSet(body.span(), out));
      RecordReader state(decoded);
      CHECK_EQ(state.U8(), static_cast<uint8_t>(type));
      CHECK_EQ(state.U8(), bitmap ? 4 : family);
      CHECK_EQ(state.U8(), 5);
      CHECK_EQ(state.U8(), kSetTimeout | kSetComment);
      CHECK_EQ(state.U32(), bitmap ? 0U : 4096U);
      CHECK_EQ(state.U32(), bitmap ? 0U : 70000U);
      for (int i = 0; i < 3; i++) CHECK_EQ(state.U32(), 0U);
      CHECK_EQ(state.U32(), 300U);
      CHECK(state.String() == "KUBE-CLUSTER-IP");
      CHECK(state.ok());
    }
  }
}

void RevisionsAreChosenLow() {
  uint8_t revision = 0;
  const auto choose = [&](uint8_t lowest, uint8_t highest, bool comment) {
    const ipset::Revisions has = {.error = 0, .lowest = lowest, .highest = highest};
    return ipset::ChooseRevision(SetType::kHashIpPort, has, comment, revision);
  };
  CHECK(choose(0, 7, true));
  CHECK_EQ(revision, 3);
  CHECK(choose(0, 2, false));
  CHECK_EQ(revision, 2);
  CHECK(!choose(0, 2, true));
  CHECK(choose(5, 9, true));
  CHECK_EQ(revision, 5);
  CHECK(!ipset::ChooseRevision(SetType::kOther, {}, false, revision));
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
    // Deprecation is asked for with lifetimes and reported as a flag too.
    state.U8(family == 4 ? kAddressNoPrefixRoute : kAddressNoDad | kAddressNoPrefixRoute);
    state.Address(AddressOf(family));
    state.U32(3600);
    state.U32(0);
    state.End();
    std::vector<uint8_t> decoded;
    RecordWriter out(decoded);
    CHECK(route::DecodeAddress(body.span(), out));
    Equal(decoded, wanted);
  }
}

// A flush or destroy without a name would mean every set.
void NamelessSetsAreRefused() {
  for (const Opcode opcode :
       {Opcode::kRemoveSet, Opcode::kFlushSet, Opcode::kSwapSets, Opcode::kRenameSet}) {
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
    // "All services" has no fields.
    for (int round = 0; round < 200 && record.size() > kHeaderBytes; round++) {
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
  for (const bool statistics : {false, true}) {
    ipvs::DecodeService(payload, writer, statistics);
    ipvs::DecodeDestination(payload, AF_INET6, writer, statistics);
  }
  ipvs::DecodeTimeouts(payload, writer);
  ipvs::DecodeInfo(payload, writer);
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
  SetsRoundTrip();
  RevisionsAreChosenLow();
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
