#include "native/session/dump.h"

#include <cerrno>
#include <utility>

#include "native/ipvs/codec.h"
#include "native/netlink/exchange.h"
#include "native/route/codec.h"
#include "native/route/local_route.h"

namespace proxier {
namespace {

// More idle sockets than this many dumps at once would want only hold memory.
constexpr size_t kIdleLimit = 4;

}  // namespace

std::unique_ptr<netlink::Transport> TransportPool::Take(int protocol) {
  auto& idle = idle_[protocol];
  if (idle.empty()) return nullptr;
  std::unique_ptr<netlink::Transport> transport = std::move(idle.back());
  idle.pop_back();
  return transport;
}

void TransportPool::Give(int protocol, std::unique_ptr<netlink::Transport> transport) {
  auto& idle = idle_[protocol];
  if (idle.size() < kIdleLimit) idle.push_back(std::move(transport));
}

int32_t Dump::Next(std::vector<uint8_t>& out) {
  const size_t before = out.size();
  RecordWriter writer(out);
  while (!ended_ && out.size() == before) {
    const int error = transport_->Receive(true, datagrams_);
    if (error != 0) {
      // The queue still holds the rest, or will: this transport is of no more use.
      transport_.reset();
      ended_ = true;
      error_ = error == EAGAIN || error == ENOBUFS ? kUnknown : error;
      break;
    }
    for (const std::span<const uint8_t> datagram : datagrams_) {
      netlink::ForEachMessage(
          datagram, [&](const nlmsghdr& header, std::span<const uint8_t> payload) {
            if (header.nlmsg_seq != source_.sequence || ended_) return;
            if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
            if (header.nlmsg_type == NLMSG_DONE) {
              int status = 0;
              if (payload.size() >= sizeof status)
                std::memcpy(&status, payload.data(), sizeof status);
              Finish(status >= 0 ? 0 : status == INT32_MIN ? kUnknown : -status);
            } else if (header.nlmsg_type == NLMSG_ERROR) {
              Finish(netlink::ReadAnswer(header, payload).code);
            } else if (header.nlmsg_type >= NLMSG_MIN_TYPE) {
              Decode(payload, writer);
            }
          });
    }
  }
  // Only now: what was received lives in the transport.
  if (finished_) {
    finished_ = false;
    pool_->Give(source_.protocol, std::move(transport_));
  }
  if (out.size() != before) return 0;
  if (error_ == 0 && interrupted_) {
    interrupted_ = false;
    return kInterrupted;
  }
  return std::exchange(error_, 0);
}

void Dump::Finish(int32_t error) {
  ended_ = true;
  finished_ = true;
  error_ = error;
  if (error == ENOENT && source_.protocol == NETLINK_GENERIC) pool_->NoteFamilyGone();
}

void Dump::Decode(std::span<const uint8_t> payload, RecordWriter& out) {
  // A message that does not decode is of a kind this library has no record for; the others of the
  // dump still count.
  switch (source_.kind) {
    case DumpKind::kServices:
    case DumpKind::kService:
      ipvs::DecodeService(payload, out);
      break;
    case DumpKind::kServicesWithStatistics:
    case DumpKind::kServiceWithStatistics:
      ipvs::DecodeService(payload, out, true);
      break;
    case DumpKind::kDestinations:
      ipvs::DecodeDestination(payload, source_.family, out);
      break;
    case DumpKind::kDestinationsWithStatistics:
      ipvs::DecodeDestination(payload, source_.family, out, true);
      break;
    case DumpKind::kTimeouts:
      ipvs::DecodeTimeouts(payload, out);
      break;
    case DumpKind::kInfo:
      ipvs::DecodeInfo(payload, out);
      break;
    case DumpKind::kTable:
    case DumpKind::kTableByNetlink:
    case DumpKind::kTableWithStatistics:
      break;
    case DumpKind::kSets:
      ipset::DecodeSet(payload, out);
      break;
    case DumpKind::kEntries:
      entries_.Decode(payload, out);
      break;
    case DumpKind::kLinks:
      route::DecodeLink(payload, out);
      break;
    case DumpKind::kAddresses:
      route::DecodeAddress(payload, out);
      break;
    case DumpKind::kLocalRoutes:
      route::DecodeLocalRoute(payload, source_.owner, out);
      break;
    case DumpKind::kChanges:
      break;
    case DumpKind::kConnections:
      conntrack::Decode(payload, source_.filter, out);
      break;
  }
}

}  // namespace proxier
