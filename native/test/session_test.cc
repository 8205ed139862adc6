// Sessions against a scripted kernel: families that are absent or were loaded anew, records that
// lie, links, dumps.
#include "native/session/session.h"

#include <linux/if_link.h>
#include <linux/ip_vs.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include <atomic>
#include <thread>

#include "native/ipvs/codec.h"
#include "native/test/check.h"
#include "native/test/fake_kernel.h"
#include "native/test/samples.h"
#include "native/test/tests.h"
#include "native/wire.h"

namespace proxier::test {
namespace {

constexpr uint16_t kIpset = NFNL_SUBSYS_IPSET << 8;

struct Script {
  int family_error = 0;
  // Number of the IPVS family; messages to another one get ENOENT.
  uint16_t family_id = 28;
  int ipset_error = 0;
  const char* link_kind = "dummy";
  int create_link_error = 0;
  size_t link_questions = 0;
  int type_error = 0;
  uint8_t highest_revision = 8;
  size_t type_questions = 0;
  // Of the sets that were created.
  std::vector<uint8_t> revisions;
  size_t writes = 0;
  std::function<Reply(const nlmsghdr&, std::span<const uint8_t>)> dump;
};

Reply LinkReply(const nlmsghdr& request, const char* kind) {
  std::array<uint8_t, 128> payload{};
  netlink::MessageWriter writer(payload);
  ifinfomsg header{};
  header.ifi_index = 7;
  writer.Raw(&header, sizeof header);
  writer.PutString(IFLA_IFNAME, "kube-ipvs0");
  const size_t nest = writer.BeginNest(IFLA_LINKINFO);
  writer.PutString(IFLA_INFO_KIND, kind);
  writer.EndNest(nest);
  return {.datagrams = {Message(RTM_NEWLINK, 0, request.nlmsg_seq,
                                std::span(payload).first(writer.length()))}};
}

Reply ProtocolReply(const nlmsghdr& request) {
  std::array<uint8_t, 64> payload{};
  netlink::MessageWriter writer(payload);
  const nfgenmsg header{};
  writer.Raw(&header, sizeof header);
  writer.PutU8(IPSET_ATTR_PROTOCOL, 7);
  return {.datagrams = {Message(request.nlmsg_type, 0, request.nlmsg_seq,
                                std::span(payload).first(writer.length()))}};
}

Reply TypeReply(const nlmsghdr& request, uint8_t lowest, uint8_t highest) {
  std::array<uint8_t, 64> payload{};
  netlink::MessageWriter writer(payload);
  const nfgenmsg header{};
  writer.Raw(&header, sizeof header);
  writer.PutU8(IPSET_ATTR_REVISION, highest);
  writer.PutU8(IPSET_ATTR_REVISION_MIN, lowest);
  return {.datagrams = {Message(request.nlmsg_type, 0, request.nlmsg_seq,
                                std::span(payload).first(writer.length()))}};
}

Handler Follow(Script& script) {
  return [&script](const nlmsghdr& header, std::span<const uint8_t> payload, size_t) -> Reply {
    if ((header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) return script.dump(header, payload);
    switch (header.nlmsg_type) {
      // RTM_NEWLINK has the same number, on another protocol.
      case GENL_ID_CTRL:
        if ((header.nlmsg_flags & NLM_F_CREATE) != 0) return {.error = script.create_link_error};
        if (script.family_error != 0) return {.error = script.family_error};
        return FamilyReply(header, script.family_id);
      case kIpset | IPSET_CMD_PROTOCOL:
        if (script.ipset_error != 0) return {.error = script.ipset_error};
        return ProtocolReply(header);
      case kIpset | IPSET_CMD_TYPE:
        script.type_questions++;
        if (script.type_error != 0) return {.error = script.type_error};
        return TypeReply(header, 0, script.highest_revision);
      case kIpset | IPSET_CMD_CREATE:
        script.revisions.push_back(
            netlink::Attributes<IPSET_ATTR_CMD_MAX + 1>(
                payload.subspan(sizeof(nfgenmsg)))[IPSET_ATTR_REVISION]
                .U8());
        script.writes++;
        return {};
      case RTM_GETLINK:
        script.link_questions++;
        if (script.link_kind == nullptr) return {.error = ENODEV};
        return LinkReply(header, script.link_kind);
      default:
        if (header.nlmsg_type < kIpset && header.nlmsg_type > GENL_ID_CTRL &&
            header.nlmsg_type != RTM_NEWADDR && header.nlmsg_type != RTM_DELADDR &&
            header.nlmsg_type != RTM_DELLINK && header.nlmsg_type != RTM_NEWROUTE &&
            header.nlmsg_type != RTM_DELROUTE &&
            header.nlmsg_type >> 8 != NFNL_SUBSYS_CTNETLINK &&
            header.nlmsg_type != script.family_id) {
          return {.error = ENOENT};
        }
        script.writes++;
        return {};
    }
  };
}

std::vector<int32_t> Run(Session& session, std::span<const uint8_t> records, size_t count,
                         RunReport& report) {
  std::vector<int32_t> results(count, 12345);
  const Exact exact(records);
  session.Run(exact.span(), results, report);
  return results;
}

std::vector<int32_t> Run(Session& session, std::span<const uint8_t> records, size_t count) {
  RunReport report;
  return Run(session, records, count, report);
}

std::vector<uint8_t> ThreeFamilies() {
  std::vector<uint8_t> records;
  RecordWriter writer(records);
  Destination(writer, Opcode::kCreateDestination, 4);
  Entry(writer, Opcode::kAddEntry, SetType::kHashIp, 4, 0);
  LinkAddress(writer, Opcode::kAddAddress, 4, "kube-ipvs0");
  return records;
}

void AllOperationsAreSent() {
  Script script;
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  std::vector<uint8_t> records;
  size_t count = 0;
  for (int round = 0; round < 50; round++) {
    for (const std::vector<uint8_t>& record : AllOperations()) {
      records.insert(records.end(), record.begin(), record.end());
      count++;
    }
  }
  for (const int32_t result : Run(session, records, count)) CHECK_EQ(result, 0);
}

void AbsentFamiliesAnswerAtOnce() {
  Script script{.family_error = ENOENT, .ipset_error = EINVAL, .link_kind = nullptr};
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  const std::vector<int32_t> results = Run(session, ThreeFamilies(), 3);
  CHECK_EQ(results[0], kAbsent);
  CHECK_EQ(results[1], kAbsent);
  CHECK_EQ(results[2], ENODEV);
  CHECK_EQ(session.OpenDump(DumpKind::kServices, {}).error, kAbsent);
  CHECK_EQ(session.OpenDump(DumpKind::kSets, {}).error, kAbsent);
  // The question costs a search for the module: once a run, however often the batch comes back to
  // the family.
  std::vector<uint8_t> alternating;
  for (int i = 0; i < 10; i++) {
    const std::vector<uint8_t> three = ThreeFamilies();
    alternating.insert(alternating.end(), three.begin(), three.end());
  }
  const size_t sends = kernel.sends;
  CHECK_EQ(Run(session, alternating, 30)[27], kAbsent);
  CHECK_EQ(kernel.sends - sends, 3U);
  // Loaded meanwhile.
  script.family_error = 0;
  script.ipset_error = 0;
  script.link_kind = "dummy";
  for (const int32_t result : Run(session, ThreeFamilies(), 3)) CHECK_EQ(result, 0);
  // A protocol the kernel was built without.
  Session none([](int) { return netlink::Opened{nullptr, EPROTONOSUPPORT}; });
  for (const int32_t result : Run(none, ThreeFamilies(), 3)) CHECK_EQ(result, kAbsent);
  Script refused{.family_error = EPERM, .ipset_error = EPERM};
  Kernel strict{.handler = Follow(refused)};
  Session unprivileged(Open(strict));
  const std::vector<int32_t> denied = Run(unprivileged, ThreeFamilies(), 3);
  CHECK_EQ(denied[0], EPERM);
  CHECK_EQ(denied[1], EPERM);
}

void RevisionsAreAskedOnceASession() {
  std::vector<uint8_t> records;
  RecordWriter writer(records);
  for (int i = 0; i < 3; i++) {
    Set(writer, Opcode::kCreateSet, SetType::kHashIpPort, 4);
    Set(writer, Opcode::kEnsureSet, SetType::kHashIpPort, 6);
    Set(writer, Opcode::kEnsureSet, SetType::kBitmapPort, 4);
    Set(writer, Opcode::kEnsureSet, SetType::kBitmapPort, 6);
  }
  Script script;
  script.type_error = IPSET_ERR_FIND_TYPE;
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  for (const int32_t result : Run(session, records, 12)) CHECK_EQ(result, IPSET_ERR_FIND_TYPE);
  CHECK_EQ(script.writes, 0U);
  // The modules are there now.
  script.type_error = 0;
  script.type_questions = 0;
  for (int round = 0; round < 2; round++) {
    for (const int32_t result : Run(session, records, 12)) CHECK_EQ(result, 0);
  }
  CHECK_EQ(script.type_questions, 3U);
  CHECK_EQ(script.revisions.size(), 24U);
  for (size_t i = 0; i < 24; i++) CHECK_EQ(script.revisions[i], i % 4 < 2 ? 3 : 2);
  // A kernel from before comments.
  Script old;
  old.highest_revision = 1;
  Kernel kernel_of_old{.handler = Follow(old)};
  Session early(Open(kernel_of_old));
  for (const int32_t result : Run(early, records, 12)) CHECK_EQ(result, EOPNOTSUPP);
  CHECK_EQ(old.writes, 0U);
}

void AReloadedFamilyIsFoundAgain() {
  Script script;
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  std::vector<uint8_t> records;
  RecordWriter writer(records);
  for (int i = 0; i < 5; i++) Destination(writer, Opcode::kCreateDestination, 6);
  for (const int32_t result : Run(session, records, 5)) CHECK_EQ(result, 0);
  script.family_id = 31;
  script.writes = 0;
  for (const int32_t result : Run(session, records, 5)) CHECK_EQ(result, 0);
  CHECK_EQ(script.writes, 5U);
  script.family_id = 40;
  script.family_error = ENOENT;
  for (const int32_t result : Run(session, records, 5)) CHECK_EQ(result, kAbsent);
}

void RecordsThatLieAreRefused() {
  Script script;
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  const std::vector<uint8_t> good = ThreeFamilies();
  for (const int lie : {0, 2, 3, 5, 60000}) {
    std::vector<uint8_t> records = good;
    records.insert(records.end(), good.begin(), good.end());
    // The fourth record: the first of the copy.
    const uint16_t length = LittleEndian(static_cast<uint16_t>(lie));
    std::memcpy(records.data() + good.size(), &length, sizeof length);
    const std::vector<int32_t> results = Run(session, records, 6);
    for (size_t i = 0; i < 6; i++) CHECK_EQ(results[i], i < 3 ? 0 : EBADMSG);
  }
  // Fewer records than results, more records than results, an opcode of no family, a dump's opcode.
  CHECK_EQ(Run(session, good, 5)[4], EBADMSG);
  CHECK_EQ(Run(session, good, 1)[0], 0);
  for (const int opcode : {0x00, 0x0f, 0x1c, 0x1f, 0x2f, 0x3f, 0x80, 0xff}) {
    std::vector<uint8_t> records = good;
    records[2] = static_cast<uint8_t>(opcode);
    const std::vector<int32_t> results = Run(session, records, 3);
    CHECK_EQ(results[0], EBADMSG);
    CHECK_EQ(results[1], 0);
    CHECK_EQ(results[2], 0);
  }
  // A record with the length of a whole one whose strings point out of it.
  std::vector<uint8_t> records;
  RecordWriter writer(records);
  Names(writer, Opcode::kEnsureLink, "kube-ipvs0");
  records[kHeaderBytes] = 200;
  CHECK_EQ(Run(session, records, 1)[0], EBADMSG);
  Random random(3);
  for (int round = 0; round < 5000; round++) {
    std::vector<uint8_t> noise = good;
    for (int i = 0; i < 3; i++)
      noise[random.Below(noise.size())] = static_cast<uint8_t>(random.Next());
    Run(session, noise, 3);
  }
}

void LinksAreLookedUpOnce() {
  Script script;
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  std::vector<uint8_t> records;
  RecordWriter writer(records);
  for (int i = 0; i < 20; i++)
    LinkAddress(writer, Opcode::kAddAddress, 4, i % 2 == 0 ? "kube-ipvs0" : "lo");
  for (const int32_t result : Run(session, records, 20)) CHECK_EQ(result, 0);
  CHECK_EQ(script.link_questions, 2U);
  records.clear();
  Names(writer, Opcode::kEnsureLink, "kube-ipvs0");
  Names(writer, Opcode::kRemoveLink, "kube-ipvs0");
  script.create_link_error = EEXIST;
  for (const int32_t result : Run(session, records, 2)) CHECK_EQ(result, 0);
  script.link_kind = "veth";
  const std::vector<int32_t> foreign = Run(session, records, 2);
  CHECK_EQ(foreign[0], EEXIST);
  CHECK_EQ(foreign[1], EINVAL);
}

// A part of a dump: `count` services.
Datagram Services(uint32_t sequence, int count, uint16_t flags) {
  std::vector<uint8_t> records;
  RecordWriter writer(records);
  Service(writer, Opcode::kCreateService, 4, 6, 0);
  std::array<uint8_t, 512> body{};
  netlink::MessageWriter message(body);
  CHECK(ipvs::EncodeOperation(Opcode::kCreateService, records, message));
  Datagram part;
  for (int i = 0; i < count; i++) {
    const Datagram one = Message(28, flags, sequence, std::span(body).first(message.length()));
    part.insert(part.end(), one.begin(), one.end());
  }
  return part;
}

Datagram Done(uint32_t sequence, int status) {
  return Message(NLMSG_DONE, 0, sequence,
                 {reinterpret_cast<const uint8_t*>(&status), sizeof status});
}

struct Read {
  int32_t error;
  size_t slices = 0;
  size_t bytes = 0;
};

Read ReadDump(Slices& dump) {
  Read read{};
  for (;;) {
    std::vector<uint8_t> slice;
    read.error = dump.Next(slice);
    if (read.error != 0 || slice.empty()) return read;
    read.slices++;
    read.bytes += slice.size();
  }
}

void DumpsEndAsTheKernelSays() {
  Script script;
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  uint16_t flags = NLM_F_MULTI;
  int status = 0;
  bool done = true;
  script.dump = [&](const nlmsghdr& header, std::span<const uint8_t>) {
    Reply reply;
    for (int i = 0; i < 5; i++) reply.datagrams.push_back(Services(header.nlmsg_seq, 3, flags));
    // Somebody else's.
    reply.datagrams.push_back(Services(header.nlmsg_seq + 1, 3, flags));
    if (done) reply.datagrams.push_back(Done(header.nlmsg_seq, status));
    return reply;
  };
  const auto dump = [&] {
    Session::OpenedDump opened = session.OpenDump(DumpKind::kServices, {});
    CHECK_EQ(opened.error, 0);
    return ReadDump(*opened.dump);
  };
  for (int round = 0; round < 3; round++) {
    const Read whole = dump();
    CHECK_EQ(whole.error, 0);
    CHECK_EQ(whole.slices, 3U);
    // One for writes, and one that the dumps take in turn.
    CHECK_EQ(kernel.open, 2U);
  }
  status = -ENOMEM;
  CHECK_EQ(dump().error, ENOMEM);
  status = 0;
  flags |= NLM_F_DUMP_INTR;
  CHECK_EQ(dump().error, kInterrupted);
  flags = NLM_F_MULTI;
  // The rest never comes: the time-out ends it, and the socket is not used again.
  done = false;
  CHECK_EQ(dump().error, kUnknown);
  CHECK_EQ(kernel.open, 1U);
  // Left half way: closed, for its queue still holds the rest.
  done = true;
  {
    Session::OpenedDump opened = session.OpenDump(DumpKind::kServices, {});
    std::vector<uint8_t> slice;
    CHECK_EQ(opened.dump->Next(slice), 0);
    CHECK_EQ(kernel.open, 2U);
  }
  CHECK_EQ(kernel.open, 1U);
  // Two at once have a socket each.
  Session::OpenedDump first = session.OpenDump(DumpKind::kServices, {});
  Session::OpenedDump second = session.OpenDump(DumpKind::kServices, {});
  CHECK_EQ(kernel.open, 3U);
  CHECK_EQ(ReadDump(*first.dump).bytes, ReadDump(*second.dump).bytes);
  // More than are kept.
  std::vector<Session::OpenedDump> many;
  for (int i = 0; i < 7; i++) many.push_back(session.OpenDump(DumpKind::kServices, {}));
  for (const Session::OpenedDump& one : many) CHECK_EQ(ReadDump(*one.dump).error, 0);
  CHECK_EQ(kernel.open, 5U);
  script.dump = [](const nlmsghdr&, std::span<const uint8_t>) { return Reply{.error = EBUSY}; };
  CHECK_EQ(dump().error, EBUSY);
}

void DumpArgumentsAreChecked() {
  Script script;
  Kernel kernel{.handler = Follow(script)};
  Session session(Open(kernel));
  CHECK_EQ(session.OpenDump(DumpKind::kDestinations, {}).error, EBADMSG);
  CHECK_EQ(session.OpenDump(DumpKind::kEntries, {}).error, EBADMSG);
}

// In memory that another thread sees too. What is sent may be nonsense then; nothing beyond the
// records is read, which the sanitizer would tell, and each has an outcome.
void RecordsThatChangeWhileTheyAreRead() {
  Script script;
  Kernel kernel{.handler = Follow(script), .message_limit = 3};
  Session session(Open(kernel));
  std::vector<uint8_t> all;
  std::vector<size_t> starts;
  for (const std::vector<uint8_t>& record : AllOperations()) {
    starts.push_back(all.size());
    all.insert(all.end(), record.begin(), record.end());
  }
  Exact exact(all);
  std::atomic<bool> done = false;
  // Lengths of records, of names within them, families, types; and back, so that there is always
  // something to read.
  std::thread writer([&] {
    Random random(7);
    while (!done) {
      const size_t at = random.Below(4) == 0 ? starts[random.Below(starts.size())]
                                             : random.Below(all.size());
      const auto value = static_cast<uint8_t>(random.Below(256));
      __atomic_store_n(&exact.writable()[at], value, __ATOMIC_RELAXED);
      __atomic_store_n(&exact.writable()[at], all[at], __ATOMIC_RELAXED);
    }
  });
  for (int round = 0; round < 2000; round++) {
    std::vector<int32_t> results(starts.size(), INT32_MIN);
    RunReport report;
    session.Run(exact.span(), results, report);
    for (const int32_t result : results) CHECK(result >= kAbsent);
  }
  done = true;
  writer.join();
}

}  // namespace

void TestSession() {
  AllOperationsAreSent();
  AbsentFamiliesAnswerAtOnce();
  RevisionsAreAskedOnceASession();
  AReloadedFamilyIsFoundAgain();
  RecordsThatLieAreRefused();
  RecordsThatChangeWhileTheyAreRead();
  LinksAreLookedUpOnce();
  DumpsEndAsTheKernelSays();
  DumpArgumentsAreChecked();
}

}  // namespace proxier::test
