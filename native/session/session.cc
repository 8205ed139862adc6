#include "native/session/session.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <string>
#include <utility>

#include "native/ipset/codec.h"
#include "native/ipvs/codec.h"
#include "native/netlink/family.h"
#include "native/route/codec.h"

namespace proxier {
namespace {

// The family of an operation is the upper half of its opcode.
constexpr uint8_t kIpvsFamily = 0x10;
constexpr uint8_t kIpsetFamily = 0x20;
constexpr uint8_t kRouteFamily = 0x30;

uint8_t FamilyOf(Opcode opcode) { return static_cast<uint8_t>(opcode) & 0xf0; }

// Opening a netlink protocol that the kernel was built without.
int32_t OpenOutcome(int error) {
  return error == EPROTONOSUPPORT || error == EAFNOSUPPORT ? kAbsent : error;
}

}  // namespace

Session::Session(netlink::TransportFactory open)
    : open_(std::move(open)),
      ipvs_{.protocol = NETLINK_GENERIC, .transport = nullptr},
      ipset_{.protocol = NETLINK_NETFILTER, .transport = nullptr},
      route_{.protocol = NETLINK_ROUTE, .transport = nullptr},
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
        Address(index, opcode, record);
        break;
      default:
        if (channel == &session_.ipvs_) {
          netlink::MessageWriter& writer = session_.exchange_.Begin(index, channel->id, 0);
          Finish(index, ipvs::EncodeOperation(opcode, record, writer));
        } else {
          netlink::MessageWriter& writer = session_.exchange_.Begin(
              index, ipset::MessageType(opcode), ipset::MessageFlags(opcode));
          Finish(index,
                 ipset::EncodeOperation(opcode, record, static_cast<uint8_t>(channel->id), writer));
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
        return opcode <= Opcode::kRemoveDestination ? &session_.ipvs_ : nullptr;
      case kIpsetFamily:
        return opcode <= Opcode::kRemoveEntry ? &session_.ipset_ : nullptr;
      case kRouteFamily:
        return opcode <= Opcode::kRemoveAddress ? &session_.route_ : nullptr;
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

  void Address(uint32_t index, Opcode opcode, std::span<const uint8_t> record) {
    const std::string_view name = route::AddressLink(record);
    if (name.empty()) {
      results_[index] = EBADMSG;
      return;
    }
    const CachedLink& link = LinkOf(name);
    if (link.error != 0) {
      results_[index] = link.error;
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
    uint16_t length = 0;
    if (rest.size() >= kHeaderBytes) std::memcpy(&length, rest.data(), sizeof length);
    length = LittleEndian(length);
    if (length < kHeaderBytes || length % 4 != 0 || length > rest.size()) {
      // Where the next record starts is unknown from here on.
      for (; index < results.size(); index++) results[index] = EBADMSG;
      break;
    }
    runner.Operation(index, static_cast<Opcode>(rest[2]), rest.first(length));
    at += length;
  }
  runner.Flush();
}

Session::OpenedDump Session::OpenDump(DumpKind kind, std::span<const uint8_t> argument) {
  Channel& channel = kind == DumpKind::kServices || kind == DumpKind::kDestinations ? ipvs_
                     : kind == DumpKind::kSets || kind == DumpKind::kEntries        ? ipset_
                                                                                    : route_;
  const int32_t prepared = Prepare(channel);
  if (prepared != 0) return {nullptr, prepared};
  std::unique_ptr<netlink::Transport> transport = idle_->Take(channel.protocol);
  if (transport == nullptr) {
    netlink::Opened opened = open_(channel.protocol);
    if (opened.transport == nullptr) return {nullptr, OpenOutcome(opened.error)};
    transport = std::move(opened.transport);
  }
  const uint32_t sequence = transport->ReserveSequences(1);
  std::array<uint8_t, 1024> buffer{};
  netlink::MessageWriter writer(buffer);
  const auto version = static_cast<uint8_t>(channel.id);
  bool encoded = true;
  uint16_t family = 0;
  switch (kind) {
    case DumpKind::kServices:
      writer.BeginMessage(channel.id, NLM_F_DUMP, sequence);
      ipvs::EncodeServicesRequest(writer);
      break;
    case DumpKind::kDestinations:
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
  }
  if (!encoded || !writer.EndMessage()) return {nullptr, EBADMSG};
  const int error = transport->Send({buffer.data(), writer.length()});
  if (error != 0) return {nullptr, error};
  const Dump::Source source = {
      .kind = kind, .protocol = channel.protocol, .family = family, .sequence = sequence};
  return {std::make_unique<Dump>(source, std::move(transport), idle_), 0};
}

}  // namespace proxier
