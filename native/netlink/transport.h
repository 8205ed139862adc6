// What a batch needs of a socket, so that tests can stand in for the kernel.
#ifndef IPVS_PROXIER_NETLINK_TRANSPORT_H_
#define IPVS_PROXIER_NETLINK_TRANSPORT_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace proxier::netlink {

// Longest datagram the kernel makes: a part of a dump (32 KB less the skb's overhead).
inline constexpr size_t kDatagramBytes = 32768;
// Datagrams taken by one receive: a dump's last part and its DONE come together.
inline constexpr size_t kDatagramsAtOnce = 2;

class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  // Sends one datagram; when it returns, the kernel has carried out every message of it. 0 or an
  // errno.
  virtual int Send(std::span<const uint8_t> bytes) = 0;

  // Datagrams that were waiting, at most kDatagramsAtOnce, good until the next call. With `wait`
  // blocks for the first until the session's time-out. 0 or an errno; EAGAIN when there was none.
  virtual int Receive(bool wait, std::vector<std::span<const uint8_t>>& datagrams) = 0;

  // Joins a multicast group (RTNLGRP_*). 0 or an errno.
  virtual int Join(uint32_t group) {
    (void)group;
    return EOPNOTSUPP;
  }

  // Messages of one send whose failure answers are sure to fit into the receive buffer.
  [[nodiscard]] virtual size_t MessageLimit() const = 0;

  // The first of `count` numbers that no message of this transport had lately.
  uint32_t ReserveSequences(uint32_t count) {
    sequence_ += count;
    return sequence_ - count;
  }

 private:
  uint32_t sequence_ = 1;
};

struct Opened {
  std::unique_ptr<Transport> transport;
  // Why there is none: EPROTONOSUPPORT when the kernel has no such netlink protocol.
  int error = 0;
};

// Opens a transport of a netlink protocol (NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE).
using TransportFactory = std::function<Opened(int protocol)>;

}  // namespace proxier::netlink

#endif  // IPVS_PROXIER_NETLINK_TRANSPORT_H_
