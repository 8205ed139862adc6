// IPVS read back: the text of /proc, single answers, and the two put together while things change.
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "native/ipvs/codec.h"
#include "native/ipvs/readback.h"
#include "native/ipvs/table_text.h"
#include "native/session/session.h"
#include "native/test/check.h"
#include "native/test/fake_kernel.h"
#include "native/test/samples.h"
#include "native/test/tests.h"

namespace proxier::test {
namespace {

using ipvs::TableParser;

constexpr std::string_view kText =
    "IP Virtual Server version 1.2.1 (size=4096)\n"
    "Prot LocalAddress:Port Scheduler Flags\n"
    "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
    "TCP  0A600001:0050 rr \n"
    "  -> 0A620001:1F90      Masq    1      7          8         \n"
    "  -> 0A620002:1F90      Masq    0      0          2147483647\n"
    "UDP  [fd00:0000:0000:0000:0000:0000:0000:000a]:0035 wrr persistent 10800 00000080\n"
    "  -> [fd01:0000:0000:0000:0000:0000:0000:ffff]:0035      Masq    100    0          0         \n"
    "SCTP 0A600002:0009 sh ops \n"
    "  -> 0A620003:0009      Tunnel  1      0          0         \n"
    "  -> 0A620004:0009      Masq    1      0          0         \n"
    "FWM  00000007 rr \n"
    "  -> 0A620005:0000      Masq    1      -1         0         \n"
    "IP_47  0A600003:0000 rr \n";

std::span<const char> Chars(std::string_view text) { return {text.data(), text.size()}; }

void TheTextIsUnderstoodWhereverItIsCut() {
  for (size_t first = 0; first < kText.size(); first += 7) {
    for (size_t step = 1; step < 200; step += 41) {
      TableParser parser;
      parser.Feed(Chars(kText.substr(0, first)));
      for (size_t at = first; at < kText.size(); at += step) {
        parser.Feed(Chars(kText.substr(at, step)));
      }
      const auto& services = parser.services();
      CHECK_EQ(services.size(), 5U);
      const ipvs::ServiceKey web = {4, 6, 0x50, 0, 0, 0, 0, 0, 10, 96, 0, 1};
      CHECK(services[0].key == web);
      CHECK(services[0].plain && services[0].count == 2);
      CHECK(services[1].plain && services[1].count == 1 && services[1].key[0] == 6);
      CHECK_EQ(services[1].key[8], 0xfd);
      CHECK_EQ(services[1].key[23], 10);
      CHECK(!services[2].plain && services[2].key[1] == 132);
      const ipvs::ServiceKey mark = {0, 0, 0, 0, 7};
      CHECK(services[3].key == mark);
      // A count in the midst of a change is asked for again.
      CHECK(!services[3].plain);
      CHECK(services[4].plain && services[4].count == 0 && services[4].key[1] == 47);
      const auto& last = parser.destinations()[services[0].first + 1];
      CHECK_EQ(last.inactive, 2147483647U);
      CHECK_EQ(last.port, 8080);
      CHECK_EQ(last.address[3], 2);
      CHECK_EQ(parser.destinations()[services[1].first].address[15], 0xff);
    }
  }
}

void WhatIsNoLineOfTheTextIsNotTaken() {
  const std::string endless(100000, 'x');
  TableParser parser;
  parser.Feed(Chars("TCP  0A600001:0050 rr \n"));
  parser.Feed(Chars(endless));
  parser.Feed(Chars("\n  -> 0A620001:1F90      Masq    1      7          8         \n"));
  parser.Feed(Chars("TCP  0A60000:0050 rr \nTCP  0A600001 rr \nTCP  0A600001:10000 rr \n"));
  parser.Feed(Chars("XYZ  0A600001:0050 rr \nFWM  123456789 rr \nTCP\n\n"));
  parser.Feed(Chars("TCP  [fd00:0000:0000:0000:0000:0000:0000:00zz]:0035 rr \n"));
  parser.Feed(Chars("TCP  0A600009:0050 rr "));
  CHECK_EQ(parser.services().size(), 1U);
  CHECK_EQ(parser.destinations().size(), 0U);
}

void GarbledTextIsSafe(int rounds) {
  Random random(5);
  for (int round = 0; round < rounds / 4; round++) {
    std::string text(kText);
    for (size_t i = random.Below(6); i > 0; i--) {
      text[random.Below(text.size())] = static_cast<char>(random.Next());
    }
    const size_t length = random.Below(text.size() + 1);
    // In an allocation of its own size, for the sanitizer to see.
    const Exact exact({reinterpret_cast<const uint8_t*>(text.data()), length});
    TableParser parser;
    parser.Feed({reinterpret_cast<const char*>(exact.span().data()), length});
    for (const ipvs::TableService& service : parser.services()) {
      CHECK(service.first + service.count <= parser.destinations().size());
    }
  }
}

// Statistics in the nest that a kernel before 4.1 has, and in the one it has now.
void StatisticsAreReadFromEitherNest() {
  for (const bool wide : {false, true}) {
    std::array<uint8_t, 1024> body{};
    netlink::MessageWriter message(body);
    const genlmsghdr header = {.cmd = IPVS_CMD_NEW_SERVICE, .version = 1, .reserved = 0};
    message.Raw(&header, sizeof header);
    const size_t service = message.BeginNest(IPVS_CMD_ATTR_SERVICE);
    message.PutU16(IPVS_SVC_ATTR_AF, AF_INET);
    const size_t nest = message.BeginNest(wide ? IPVS_SVC_ATTR_STATS64 : IPVS_SVC_ATTR_STATS);
    for (uint16_t type = IPVS_STATS_ATTR_CONNS; type <= IPVS_STATS_ATTR_OUTBPS; type++) {
      const uint64_t value = 0x100000000ULL + type;
      const bool bytes = type == IPVS_STATS_ATTR_INBYTES || type == IPVS_STATS_ATTR_OUTBYTES;
      if (wide || bytes) {
        message.Put(type, &value, sizeof value);
      } else {
        message.PutU32(type, type);
      }
    }
    message.EndNest(nest);
    message.EndNest(service);
    std::vector<uint8_t> plain;
    std::vector<uint8_t> out;
    RecordWriter plain_writer(plain);
    RecordWriter writer(out);
    const auto payload = std::span<const uint8_t>(body).first(message.length());
    CHECK(ipvs::DecodeService(payload, plain_writer));
    CHECK(ipvs::DecodeService(payload, writer, true));
    CHECK_EQ(out[3], kHasStatistics);
    CHECK_EQ(out.size(), plain.size() + 80);
    uint64_t first = 0;
    uint64_t in_bytes = 0;
    // Behind the two empty strings.
    std::memcpy(&first, out.data() + kHeaderBytes + 24 + 12 + 2, sizeof first);
    std::memcpy(&in_bytes, out.data() + kHeaderBytes + 24 + 12 + 2 + 24, sizeof in_bytes);
    CHECK_EQ(first, (wide ? 0x100000000ULL : 0) + IPVS_STATS_ATTR_CONNS);
    CHECK_EQ(in_bytes, 0x100000000ULL + IPVS_STATS_ATTR_INBYTES);
  }
}

// A kernel's tables, as far as they are read. Every part of a dump holds one service.
struct Tables {
  // Last byte of the address of a service → last bytes of its destinations.
  std::map<uint8_t, std::vector<uint8_t>> services;
  bool persistent = false;
  // Called before the n-th listing.
  std::function<void(int)> before_listing = [](int) {};
  int listings = 0;
  int destination_dumps = 0;
  int single_answers = 0;
};

Datagram Encoded(Opcode opcode, const std::vector<uint8_t>& record, uint32_t sequence) {
  std::array<uint8_t, 512> body{};
  netlink::MessageWriter message(body);
  CHECK(ipvs::EncodeOperation(opcode, record, message));
  return Message(28, NLM_F_MULTI, sequence, std::span(body).first(message.length()));
}

void WriteKey(RecordWriter& writer, uint8_t host) {
  const uint8_t address[4] = {10, 96, 0, host};
  writer.U8(4);
  writer.U8(6);
  writer.U16(80);
  writer.U32(0);
  writer.Address(address);
}

Datagram ServiceMessage(const Tables& tables, uint8_t host, uint32_t sequence) {
  std::vector<uint8_t> record;
  RecordWriter writer(record);
  writer.Begin(Opcode::kCreateService);
  WriteKey(writer, host);
  for (const uint32_t number : {tables.persistent ? 1U : 0U, 0U, 0U}) writer.U32(number);
  writer.String("rr");
  writer.String("");
  writer.End();
  return Encoded(Opcode::kCreateService, record, sequence);
}

Datagram DestinationMessage(uint8_t service, uint8_t host, uint32_t sequence) {
  const uint8_t address[4] = {10, 98, 0, host};
  std::vector<uint8_t> record;
  RecordWriter writer(record);
  writer.Begin(Opcode::kCreateDestination);
  WriteKey(writer, service);
  writer.U8(4);
  writer.U8(0);
  writer.U16(8080);
  for (const uint32_t number : {1U, 0U, 0U}) writer.U32(number);
  writer.Address(address);
  writer.U32(0);
  writer.End();
  return Encoded(Opcode::kCreateDestination, record, sequence);
}

Datagram Done(uint32_t sequence) {
  const int status = 0;
  return Message(NLMSG_DONE, 0, sequence,
                 {reinterpret_cast<const uint8_t*>(&status), sizeof status});
}

uint8_t AskedService(std::span<const uint8_t> payload) {
  const netlink::Attributes<IPVS_CMD_ATTR_MAX + 1> message(payload.subspan(GENL_HDRLEN));
  const netlink::Attributes<IPVS_SVC_ATTR_MAX + 1> service(message[IPVS_CMD_ATTR_SERVICE]);
  const auto address = service[IPVS_SVC_ATTR_ADDR].bytes();
  return address.size() < 4 ? 0 : address[3];
}

Handler Serve(Tables& tables) {
  return [&tables](const nlmsghdr& header, std::span<const uint8_t> payload, size_t) -> Reply {
    if (header.nlmsg_type == GENL_ID_CTRL) return FamilyReply(header, 28);
    const bool dump = (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    Reply reply;
    if (payload[0] == IPVS_CMD_GET_SERVICE && dump) {
      tables.before_listing(tables.listings++);
      for (const auto& [host, destinations] : tables.services) {
        reply.datagrams.push_back(ServiceMessage(tables, host, header.nlmsg_seq));
      }
      reply.datagrams.push_back(Done(header.nlmsg_seq));
    } else if (payload[0] == IPVS_CMD_GET_SERVICE) {
      tables.single_answers++;
      const uint8_t host = AskedService(payload);
      if (!tables.services.contains(host)) return {.error = ESRCH};
      reply.datagrams.push_back(ServiceMessage(tables, host, header.nlmsg_seq));
    } else {
      tables.destination_dumps++;
      const uint8_t service = AskedService(payload);
      for (const uint8_t host : tables.services[service]) {
        reply.datagrams.push_back(DestinationMessage(service, host, header.nlmsg_seq));
      }
      reply.datagrams.push_back(Done(header.nlmsg_seq));
    }
    return reply;
  };
}

std::string TextOf(const Tables& tables) {
  std::string text;
  std::array<char, 128> line{};
  for (const auto& [service, destinations] : tables.services) {
    std::snprintf(line.data(), line.size(), "TCP  0A6000%02X:0050 rr \n", service);
    text += line.data();
    for (const uint8_t host : destinations) {
      std::snprintf(line.data(), line.size(), "  -> 0A6200%02X:1F90      Masq    1      0          0\n",
                    host);
      text += line.data();
    }
  }
  return text;
}

// Last bytes of the services, each with the number of its destinations.
std::map<uint8_t, size_t> ReadTable(Session& session, DumpKind kind) {
  OpenedDump opened = session.OpenDump(kind, {});
  CHECK_EQ(opened.error, 0);
  std::map<uint8_t, size_t> table;
  uint8_t service = 0;
  for (;;) {
    std::vector<uint8_t> slice;
    CHECK_EQ(opened.dump->Next(slice), 0);
    if (slice.empty()) return table;
    CHECK(slice.size() < 128 * 1024);
    for (size_t at = 0; at < slice.size(); at += static_cast<size_t>(slice[at] | slice[at + 1] << 8)) {
      if (slice[at + 2] == static_cast<uint8_t>(Opcode::kServiceState)) {
        service = slice[at + kHeaderBytes + 11];
        CHECK(table.emplace(service, 0).second);
      } else {
        CHECK_EQ(slice[at + 2], static_cast<uint8_t>(Opcode::kDestinationState));
        table[service]++;
      }
    }
  }
}

Tables ThreeServices() {
  Tables tables;
  tables.services = {{1, {1, 2}}, {2, {}}, {3, {3, 4, 5}}};
  return tables;
}

void TheTextSavesTheDumps() {
  Tables tables = ThreeServices();
  Kernel kernel{.handler = Serve(tables)};
  const auto text = [&tables](const auto& sink) {
    const std::string whole = TextOf(tables);
    sink(Chars(whole));
    return true;
  };
  const std::map<uint8_t, size_t> wanted = {{1, 2}, {2, 0}, {3, 3}};
  {
    Session session(Open(kernel), text);
    CHECK(ReadTable(session, DumpKind::kTable) == wanted);
    CHECK_EQ(tables.listings, 1);
    CHECK_EQ(tables.destination_dumps, 0);
    // Everything by netlink, the listing checked against a second one.
    CHECK(ReadTable(session, DumpKind::kTableByNetlink) == wanted);
    CHECK_EQ(tables.listings, 3);
    CHECK_EQ(tables.destination_dumps, 3);
    // Persistent connections are not in the text.
    tables.persistent = true;
    CHECK(ReadTable(session, DumpKind::kTable) == wanted);
    CHECK_EQ(tables.destination_dumps, 6);
    CHECK(ReadTable(session, DumpKind::kTableWithStatistics) == wanted);
  }
  // No text, or one that breaks off with an error: by netlink.
  for (const bool some : {false, true}) {
    Session session(Open(kernel), [some](const auto& sink) {
      if (some) sink(Chars("TCP  0A600001:0050 rr \n"));
      return false;
    });
    CHECK(ReadTable(session, DumpKind::kTable) == wanted);
  }
}

// Whatever comes and goes beside them, services that stay are there once, with what they have.
void ServicesThatStayAreFoundWhateverElseChanges() {
  for (int steady = 0; steady < 9; steady++) {
    Tables tables = ThreeServices();
    Kernel kernel{.handler = Serve(tables)};
    tables.before_listing = [&](int listing) {
      // Until the listings hold still, one of them leaves a service out, and others come and go.
      tables.services = {{1, {1, 2}}, {2, {}}, {3, {3, 4, 5}}};
      if (listing >= steady) return;
      if (listing % 2 == 0) tables.services.erase(2);
      tables.services[static_cast<uint8_t>(100 + listing)] = {9};
    };
    Session session(Open(kernel), [&tables](const auto& sink) {
      Tables whole = ThreeServices();
      whole.services[50] = {1};
      const std::string text = TextOf(whole);
      tables.services = {{1, {1, 2}}, {2, {}}, {3, {3, 4, 5}}};
      sink(Chars(text));
      return true;
    });
    std::map<uint8_t, size_t> read = ReadTable(session, DumpKind::kTable);
    for (const auto& [host, count] : std::map<uint8_t, size_t>{{1, 2}, {2, 0}, {3, 3}}) {
      CHECK(read.contains(host));
      CHECK_EQ(read[host], count);
    }
    CHECK(!read.contains(50));
    CHECK(tables.listings <= 6);
    if (steady < 4) CHECK_EQ(tables.single_answers, 0);
  }
}

void LargeServicesComeInSlices() {
  Tables tables;
  for (int i = 0; i < 250; i++) tables.services[1].push_back(static_cast<uint8_t>(i));
  tables.services[2] = {1};
  Kernel kernel{.handler = Serve(tables)};
  std::string text = "TCP  0A600001:0050 rr \n";
  for (int i = 0; i < 5000; i++) {
    text += "  -> 0A620001:1F90      Masq    1      0          0         \n";
  }
  text += "TCP  0A600002:0050 rr \n";
  Session session(Open(kernel), [&text](const auto& sink) {
    sink(Chars(text));
    return true;
  });
  const std::map<uint8_t, size_t> wanted = {{1, 5000}, {2, 0}};
  CHECK(ReadTable(session, DumpKind::kTable) == wanted);
  tables.destination_dumps = 0;
  const std::map<uint8_t, size_t> by_netlink = {{1, 250}, {2, 1}};
  CHECK(ReadTable(session, DumpKind::kTableByNetlink) == by_netlink);
  // The large one twice, because it comes in parts.
  CHECK_EQ(tables.destination_dumps, 3);
}

void ATableOutlivesItsSession() {
  Tables tables = ThreeServices();
  Kernel kernel{.handler = Serve(tables)};
  std::unique_ptr<Slices> table;
  {
    Session session(Open(kernel));
    table = std::move(session.OpenDump(DumpKind::kTable, {}).dump);
  }
  std::vector<uint8_t> slice;
  CHECK_EQ(table->Next(slice), 0);
  CHECK(!slice.empty());
  kernel.send_error = ENOBUFS;
  Session session(Open(kernel));
  CHECK(session.OpenDump(DumpKind::kTable, {}).dump == nullptr);
}

// The module was removed and loaded again: its family has another number.
void AReloadedFamilyIsAskedForAgain() {
  Tables tables = ThreeServices();
  uint16_t family = 28;
  const Handler serve = Serve(tables);
  Kernel kernel{.handler = [&](const nlmsghdr& header, std::span<const uint8_t> payload,
                               size_t index) -> Reply {
    if (header.nlmsg_type == GENL_ID_CTRL) return FamilyReply(header, family);
    if (header.nlmsg_type != family) return {.error = ENOENT};
    return serve(header, payload, index);
  }};
  Session session(Open(kernel));
  CHECK_EQ(ReadTable(session, DumpKind::kTable).size(), 3U);
  family = 29;
  CHECK_EQ(session.OpenDump(DumpKind::kTable, {}).error, ENOENT);
  CHECK_EQ(ReadTable(session, DumpKind::kTable).size(), 3U);
}

void SingleAnswersAndWhatIsNoKind() {
  Tables tables = ThreeServices();
  Kernel kernel{.handler = Serve(tables)};
  Session session(Open(kernel));
  std::vector<uint8_t> key;
  RecordWriter writer(key);
  writer.Begin(Opcode::kRemoveService);
  WriteKey(writer, 3);
  writer.End();
  for (const uint8_t host : {uint8_t{3}, uint8_t{9}}) {
    key[kHeaderBytes + 11] = host;
    OpenedDump opened = session.OpenDump(DumpKind::kService, key);
    CHECK_EQ(opened.error, 0);
    std::vector<uint8_t> slice;
    CHECK_EQ(opened.dump->Next(slice), host == 3 ? 0 : ESRCH);
    CHECK_EQ(slice.empty(), host != 3);
    slice.clear();
    CHECK_EQ(opened.dump->Next(slice), 0);
    CHECK(slice.empty());
  }
  for (const int kind : {0, 7, 9, 19, 49, 255}) {
    CHECK_EQ(session.OpenDump(static_cast<DumpKind>(kind), {}).error, EBADMSG);
  }
  // A key that is none never becomes a question about all services.
  CHECK_EQ(session.OpenDump(DumpKind::kService, std::span(key).first(20)).error, EBADMSG);
}

}  // namespace

void TestIpvs(int rounds) {
  TheTextIsUnderstoodWhereverItIsCut();
  WhatIsNoLineOfTheTextIsNotTaken();
  GarbledTextIsSafe(rounds);
  StatisticsAreReadFromEitherNest();
  TheTextSavesTheDumps();
  ServicesThatStayAreFoundWhateverElseChanges();
  LargeServicesComeInSlices();
  ATableOutlivesItsSession();
  AReloadedFamilyIsAskedForAgain();
  SingleAnswersAndWhatIsNoKind();
}

}  // namespace proxier::test
