#include "native/session/monitor.h"

#include <linux/rtnetlink.h>

#include <cerrno>

#include "native/netlink/exchange.h"
#include "native/route/codec.h"
#include "native/wire.h"

namespace proxier {
namespace {

// More than this is taken by the next call.
constexpr size_t kSliceBytes = 64 * 1024;

void Decode(const nlmsghdr& header, std::span<const uint8_t> payload, RecordWriter& out) {
  switch (header.nlmsg_type) {
    case RTM_NEWLINK:
      route::DecodeLink(payload, out);
      break;
    case RTM_DELLINK:
      route::DecodeLink(payload, out, kChangeRemoved);
      break;
    case RTM_NEWADDR:
      route::DecodeAddress(payload, out);
      break;
    case RTM_DELADDR:
      route::DecodeAddress(payload, out, kChangeRemoved);
      break;
    default:
      break;
  }
}

}  // namespace

int Monitor::Join() {
  for (const uint32_t group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}) {
    const int error = transport_->Join(group);
    if (error != 0) return error;
  }
  return 0;
}

int32_t Monitor::Next(std::vector<uint8_t>& out) {
  RecordWriter writer(out);
  const size_t before = out.size();
  while (out.size() - before < kSliceBytes) {
    const int error = transport_->Receive(false, datagrams_);
    if (error == EAGAIN) return 0;
    if (error == ENOBUFS) {
      // What is still in the queue is from before the loss, and true in its order.
      writer.Begin(Opcode::kChangesLost);
      writer.End();
      continue;
    }
    if (error != 0) return error;
    for (const std::span<const uint8_t> datagram : datagrams_) {
      netlink::ForEachMessage(datagram,
                              [&](const nlmsghdr& header, std::span<const uint8_t> payload) {
                                Decode(header, payload, writer);
                              });
    }
  }
  return 0;
}

}  // namespace proxier
