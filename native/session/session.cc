#include "native/session/session.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <string>
#include <utility>

#include "native/conntrack/codec.h"
#include "native/ipset/codec.h"
#include "native/ipvs/codec.h"
#include "native/ipvs/readback.h"
#include "native/netlink/family.h"
#include "native/route/codec.h"
#include "native/route/local_route.h"
#include "native/session/monitor.h"

namespace proxier {
namespace {

// The family of an operation is the upper half of its opcode.
constexpr uint8_t kIpvsFamily = 0x10;
constexpr uint8_t kIpsetFamily = 0x20;
constexpr uint8_t kRouteFamily = 0x30;
constexpr uint8_t kConntrackFamily = 0x40;

uint8_t FamilyOf(Opcode opcode) { return static_cast<uint8_t>(opcode) & 0xf0; }

// Opening a netlink protocol that the kernel was built without.
int32_t OpenOutcome(int error) {
  return error == EPROTONOSUPPORT || error == EAFNOSUPPORT ? kAbsent : error;
}

}  // namespace

Session::Session(netlink::TransportFactory open, ipvs::TableText table)
    : open_(std::move(open)),
      table_(std::move(table)),
      ipvs_{.protocol = NETLINK_GENERIC, .transport = nullptr},
      ipset_{.protocol = NETLINK_NETFILTER, .transport = nullptr},
      route_{.protocol = NETLINK_ROUTE, .transport = nullptr},
      conntrack_{.protocol = NETLINK_NETFILTER, .transport = nullptr},
      idle_(std::make_shared<TransportPool>()) {}

int32_t Session::Prepare(Channel& channel) {
  if (channel.transport == nullptr) {
    netlink::Opened opened = open_(channel.protocol);
    if (opened.transport == nullptr) return OpenOutcome(opened.error);
    channel.transport = std::move(opened.transport);
  }
  return channel.id == 0 ? Resolve(channel) : 0;
}

int32_t Session::Resolve(Channel& channel) {
  channel.id = 0;
  if (&channel == &ipvs_) {
    const netlink::Family family = netlink::ResolveFamily(*channel.transport, ipvs::kFamilyName);
    channel.id = family.id;
    return family.error;
  }
  if (&channel == &ipset_) {
    const ipset::Protocol protocol = ipset::ResolveProtocol(*channel.transport);
    channel.id = protocol.version;
    return protocol.error;
  }
  if (&channel == &conntrack_) {
    const int32_t error = conntrack::Probe(*channel.transport);
    channel.id = error == 0 ? 1 : 0;
    return error;
  }
  channel.id = 1;
  return 0;
}

// One run of a batch: what is cached lives as long as it.
class Session::Runner {
 public:
  Runner(Session& session, std::span<int32_t> results, RunReport& report)
      : session_(session), results_(results), report_(report) {}

  void Operation(uint32_t index, Opcode opcode, std::span<const uint8_t> record) {
    Channel* channel = ChannelOf(opcode);
    if (channel == nullptr) {
      results_[index] = EBADMSG;
      return;
    }
    if (channel != current_) {
      Flush();
      current_ = channel;
      prepared_ = PrepareOnce(*channel);
    }
    if (prepared_ != 0) {
      results_[index] = prepared_;
      return;
    }
    if (session_.exchange_.Full(*channel->transport)) Flush();
    // The flush may have found the family gone.
    if (prepared_ != 0) {
      results_[index] = prepared_;
      return;
    }
    switch (opcode) {
      case Opcode::kEnsureLink:
      case Opcode::kRemoveLink:
        Flush();
        results_[index] = ChangeLink(index, opcode, record);
        break;
      case Opcode::kAddAddress:
      case Opcode::kRemoveAddress:
      case Opcode::kEnsureAddress:
        OnLink(index, opcode, record, route::AddressLink(record));
        break;
      case Opcode::kAddLocalRoute:
      case Opcode::kRemoveLocalRoute:
        OnLink(index, opcode, record, route::LocalRouteLink(record));
        break;
      case Opcode::kRemoveConnection: {
        netlink::MessageWriter& writer =
            session_.exchange_.Begin(index, conntrack::DeleteMessageType(), 0);
        Finish(index, conntrack::EncodeRemoval(record, writer));
        break;
      }
      default:
        if (channel == &session_.ipvs_) {
          netlink::MessageWriter& writer = session_.exchange_.Begin(index, channel->id, 0);
          Finish(index, ipvs::EncodeOperation(opcode, record, writer));
        } else {
          Set(index, opcode, record);
        }
    }
  }

  void Flush() {
    netlink::Exchange& exchange = session_.exchange_;
    if (current_ == nullptr || exchange.empty()) return;
    exchange.Flush(*current_->transport, results_, report_.texts, report_.stats);
    // A generic netlink family that was loaded anew has another number, and the old one answers
    // ENOENT to everything.
    if (current_ == &session_.ipvs_ && exchange.AllAnswered(results_, ENOENT)) {
      const uint16_t before = current_->id;
      prepared_ = session_.Resolve(*current_);
      report_.stats.round_trips++;
      if (prepared_ != 0) {
        unusable_.emplace_back(current_, prepared_);
        exchange.Fail(results_, prepared_);
      } else if (current_->id != before) {
        exchange.Resend(*current_->transport, current_->id, results_, report_.texts, report_.stats);
      }
    }
    exchange.Clear();
  }

 private:
  Channel* ChannelOf(Opcode opcode) {
    switch (FamilyOf(opcode)) {
      case kIpvsFamily:
        return opcode <= Opcode::kSetTimeouts ? &session_.ipvs_ : nullptr;
      case kIpsetFamily:
        return opcode <= Opcode::kTestEntry ? &session_.ipset_ : nullptr;
      case kRouteFamily:
        return opcode <= Opcode::kRemoveLocalRoute ? &session_.route_ : nullptr;
      case kConntrackFamily:
        return opcode == Opcode::kRemoveConnection ? &session_.conntrack_ : nullptr;
      default:
        return nullptr;
    }
  }

  // Asking for a family that is not there makes the kernel look for its module, which takes
  // milliseconds: once a run is enough.
  int32_t PrepareOnce(Channel& channel) {
    for (const auto& [failed, error] : unusable_) {
      if (failed == &channel) return error;
    }
    const int32_t error = session_.Prepare(channel);
    if (error != 0) unusable_.emplace_back(&channel, error);
    return error;
  }

  void Finish(uint32_t index, bool encoded) {
    if (encoded && session_.exchange_.End()) return;
    session_.exchange_.Drop();
    results_[index] = EBADMSG;
  }

  void Set(uint32_t index, Opcode opcode, std::span<const uint8_t> record) {
    ipset::Dialect dialect = {.version = static_cast<uint8_t>(session_.ipset_.id), .revision = 0};
    ipset::SetHead head;
    if (ipset::ReadSetHead(opcode, record, head)) {
      results_[index] = Revision(head, dialect);
      if (results_[index] != 0) return;
    }
    netlink::MessageWriter& writer = session_.exchange_.Begin(index, ipset::MessageType(opcode),
                                                              ipset::MessageFlags(opcode));
    Finish(index, ipset::EncodeOperation(opcode, record, dialect, writer));
  }

  // Asked for once a session, type and family.
  int32_t Revision(const ipset::SetHead& head, ipset::Dialect& dialect) {
    const auto key = std::make_pair(head.type, head.family);
    auto known = session_.revisions_.find(key);
    if (known == session_.revisions_.end()) {
      const ipset::Revisions asked = ipset::ResolveRevisions(
          *session_.ipset_.transport, dialect.version, head.type, head.family);
      Count(1);
      if (asked.error != 0) return asked.error;
      known = session_.revisions_.emplace(key, asked).first;
    }
    return ipset::ChooseRevision(head.type, known->second, head.comment, dialect.revision)
               ? 0
               : EOPNOTSUPP;
  }

  int32_t ChangeLink(uint32_t index, Opcode opcode, std::span<const uint8_t> record) {
    RecordReader reader(record);
    const std::string_view name = reader.String();
    if (!reader.ok() || name.empty()) return EBADMSG;
    links_.clear();
    netlink::Transport& transport = *session_.route_.transport;
    std::string text;
    int32_t result = 0;
    if (opcode == Opcode::kEnsureLink) {
      result = route::CreateDummy(transport, name, &text);
      Count(1);
      if (result == EEXIST) {
        const route::Link link = route::FindLink(transport, name);
        Count(1);
        result = link.error != 0 ? link.error : link.kind == "dummy" ? 0 : EEXIST;
      }
    } else {
      const route::Link link = route::FindLink(transport, name);
      Count(1);
      if (link.error != 0) return link.error;
      if (link.kind != "dummy") return EINVAL;
      result = route::RemoveLink(transport, link.index, &text);
      Count(1);
    }
    if (result > 0 && !text.empty()) report_.texts.push_back({index, std::move(text)});
    return result;
  }

  // An address or a route, on the link of that name.
  void OnLink(uint32_t index, Opcode opcode, std::span<const uint8_t> record,
              std::string_view name) {
    if (name.empty()) {
      results_[index] = EBADMSG;
      return;
    }
    const CachedLink& link = LinkOf(name);
    if (link.error != 0) {
      results_[index] = link.error;
      return;
    }
    if (route::IsLocalRouteOperation(opcode)) {
      netlink::MessageWriter& writer = session_.exchange_.Begin(
          index, route::LocalRouteType(opcode), route::LocalRouteFlags(opcode));
      Finish(index, route::EncodeLocalRoute(record, link.index, writer));
      return;
    }
    netlink::MessageWriter& writer =
        session_.exchange_.Begin(index, route::MessageType(opcode), route::MessageFlags(opcode));
    Finish(index, route::EncodeAddress(opcode, record, link.index, writer));
  }

  struct CachedLink {
    std::string name;
    int32_t error;
    uint32_t index;
  };
  const CachedLink& LinkOf(std::string_view name) {
    for (const CachedLink& link : links_) {
      if (link.name == name) return link;
    }
    const route::Link found = route::FindLink(*session_.route_.transport, name);
    Count(1);
    links_.push_back({std::string(name), found.error, found.index});
    return links_.back();
  }

  void Count(uint32_t round_trips) {
    report_.stats.messages += round_trips;
    report_.stats.round_trips += round_trips;
  }

  Session& session_;
  std::span<int32_t> results_;
  RunReport& report_;
  Channel* current_ = nullptr;
  int32_t prepared_ = 0;
  std::vector<std::pair<const Channel*, int32_t>> unusable_;
  std::vector<CachedLink> links_;
};

void Session::Run(std::span<const uint8_t> records, std::span<int32_t> results, RunReport& report) {
  Runner runner(*this, results, report);
  size_t at = 0;
  for (uint32_t index = 0; index < results.size(); index++) {
    const std::span<const uint8_t> rest = records.subspan(at);
    size_t length = 0;
    if (rest.size() >= kHeaderBytes) length = LoadOnce(&rest[0]) + size_t{256} * LoadOnce(&rest[1]);
    if (length < kHeaderBytes || length % 4 != 0 || length > rest.size()) {
      // Where the next record starts is unknown from here on.
      for (; index < results.size(); index++) results[index] = EBADMSG;
      break;
    }
    runner.Operation(index, static_cast<Opcode>(LoadOnce(&rest[2])), rest.first(length));
    at += length;
  }
  runner.Flush();
}

OpenedDump Session::OpenDump(DumpKind kind, std::span<const uint8_t> argument) {
  Channel& channel = ChannelOf(kind);
  if (&channel == &ipvs_ && idle_->TakeFamilyGone()) channel.id = 0;
  const int32_t prepared = Prepare(channel);
  if (prepared != 0) return {nullptr, prepared};
  if (kind == DumpKind::kChanges) return OpenMonitor();
  const DumpChannel target = {.protocol = channel.protocol, .id = channel.id};
  if (kind < DumpKind::kTable || kind > DumpKind::kTableWithStatistics) {
    return StartDump(open_, idle_, target, kind, argument);
  }
  // It opens dumps of its own, and may outlive this session.
  auto readback = std::make_unique<ipvs::Readback>(
      [open = open_, idle = idle_, target](DumpKind part, std::span<const uint8_t> key) {
        return StartDump(open, idle, target, part, key);
      },
      kind == DumpKind::kTable ? table_ : ipvs::TableText(),
      kind == DumpKind::kTableWithStatistics, readbacks_);
  const int32_t error = readback->Start();
  if (error != 0) return {nullptr, error};
  return {std::move(readback), 0};
}

OpenedDump Session::OpenMonitor() {
  netlink::Opened opened = open_(NETLINK_ROUTE);
  if (opened.transport == nullptr) return {nullptr, OpenOutcome(opened.error)};
  auto monitor = std::make_unique<Monitor>(std::move(opened.transport));
  const int32_t error = monitor->Join();
  if (error != 0) return {nullptr, error};
  return {std::move(monitor), 0};
}

Session::Channel& Session::ChannelOf(DumpKind kind) {
  switch (kind) {
    case DumpKind::kSets:
    case DumpKind::kEntries:
      return ipset_;
    case DumpKind::kLinks:
    case DumpKind::kAddresses:
    case DumpKind::kLocalRoutes:
    case DumpKind::kChanges:
      return route_;
    case DumpKind::kConnections:
      return conntrack_;
    default:
      return ipvs_;
  }
}

OpenedDump StartDump(const netlink::TransportFactory& open,
                     const std::shared_ptr<TransportPool>& idle, DumpChannel channel, DumpKind kind,
                     std::span<const uint8_t> argument) {
  std::unique_ptr<netlink::Transport> transport = idle->Take(channel.protocol);
  if (transport == nullptr) {
    netlink::Opened opened = open(channel.protocol);
    if (opened.transport == nullptr) return {nullptr, OpenOutcome(opened.error)};
    transport = std::move(opened.transport);
  }
  const uint32_t sequence = transport->ReserveSequences(1);
  std::array<uint8_t, 1024> buffer{};
  netlink::MessageWriter writer(buffer);
  const auto version = static_cast<uint8_t>(channel.id);
  bool encoded = true;
  uint16_t family = 0;
  uint8_t owner = 0;
  conntrack::Filter filter;
  switch (kind) {
    case DumpKind::kServices:
    case DumpKind::kServicesWithStatistics:
      writer.BeginMessage(channel.id, NLM_F_DUMP, sequence);
      ipvs::EncodeServicesRequest(writer);
      break;
    // Not a dump: the acknowledgement ends it.
    case DumpKind::kService:
    case DumpKind::kServiceWithStatistics:
      writer.BeginMessage(channel.id, NLM_F_ACK, sequence);
      encoded = ipvs::EncodeServiceRequest(argument, writer);
      break;
    case DumpKind::kTimeouts:
      writer.BeginMessage(channel.id, NLM_F_ACK, sequence);
      ipvs::EncodeTimeoutsRequest(writer);
      break;
    case DumpKind::kInfo:
      writer.BeginMessage(channel.id, NLM_F_ACK, sequence);
      ipvs::EncodeInfoRequest(writer);
      break;
    case DumpKind::kTable:
    case DumpKind::kTableByNetlink:
    case DumpKind::kTableWithStatistics:
      encoded = false;
      break;
    case DumpKind::kDestinations:
    case DumpKind::kDestinationsWithStatistics:
      writer.BeginMessage(channel.id, NLM_F_DUMP, sequence);
      encoded = ipvs::EncodeDestinationsRequest(argument, writer);
      family = ipvs::KeyFamily(argument);
      break;
    case DumpKind::kSets:
      writer.BeginMessage(ipset::ListMessageType(), NLM_F_DUMP, sequence);
      ipset::EncodeSetsRequest(version, writer);
      break;
    case DumpKind::kEntries: {
      writer.BeginMessage(ipset::ListMessageType(), NLM_F_DUMP, sequence);
      RecordReader reader(argument);
      const std::string_view name = reader.String();
      encoded = reader.ok() && ipset::EncodeEntriesRequest(name, version, writer);
      break;
    }
    case DumpKind::kLinks:
      writer.BeginMessage(RTM_GETLINK, NLM_F_DUMP, sequence);
      route::EncodeLinksRequest(writer);
      break;
    case DumpKind::kAddresses:
      writer.BeginMessage(RTM_GETADDR, NLM_F_DUMP, sequence);
      route::EncodeAddressesRequest(writer);
      break;
    case DumpKind::kLocalRoutes:
      writer.BeginMessage(RTM_GETROUTE, NLM_F_DUMP, sequence);
      owner = argument.empty() ? uint8_t{0} : argument[0];
      route::EncodeLocalRoutesRequest(owner, writer);
      break;
    case DumpKind::kConnections:
      writer.BeginMessage(conntrack::GetMessageType(), NLM_F_DUMP, sequence);
      encoded = filter.Read(argument);
      filter.EncodeRequest(writer);
      break;
    case DumpKind::kChanges:
      encoded = false;
      break;
  }
  // A number that is no kind of dump began no message.
  if (!encoded || writer.length() == 0 || !writer.EndMessage()) return {nullptr, EBADMSG};
  const int error = transport->Send({buffer.data(), writer.length()});
  if (error != 0) return {nullptr, error};
  const Dump::Source source = {
      .kind = kind, .protocol = channel.protocol, .family = family, .sequence = sequence,
      .owner = owner, .filter = filter};
  return {std::make_unique<Dump>(source, std::move(transport), idle), 0};
}

}  // namespace proxier
