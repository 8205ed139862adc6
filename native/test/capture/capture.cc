// capture DIRECTORY: reads everything this kernel has through a session, and writes what the kernel
// answered as first inputs of the fuzz targets (native/test/corpus). `npm run fuzz -- --capture`
// runs it in the test kernel, on tables that hold some of everything.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "native/netlink/exchange.h"
#include "native/netlink/socket.h"
#include "native/session/session.h"
#include "native/test/samples.h"
#include "native/wire.h"

using proxier::DumpKind;
using proxier::Session;
using Bytes = std::vector<uint8_t>;

namespace {

// Enough of each kind: what differs only in its numbers teaches a fuzzer nothing.
constexpr size_t kInputsPerTarget = 32;
constexpr size_t kAlike = 4;
constexpr size_t kInputBytes = 4096;

class Corpus {
 public:
  explicit Corpus(std::filesystem::path directory) : directory_(std::move(directory)) {}

  void Add(const std::string& target, std::span<const uint8_t> input) {
    auto& sizes = sizes_[target];
    if (input.empty() || input.size() > kInputBytes || sizes.size() >= kInputsPerTarget) return;
    // Of many alike in form, the later ones bring nothing.
    const size_t alike = sizes.count(input.size());
    if (alike == kAlike) return;
    sizes.insert(input.size());
    std::filesystem::create_directories(directory_ / target);
    const std::string name = std::to_string(input.size()) + "-" + std::to_string(alike);
    std::ofstream file(directory_ / target / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(input.data()),
               static_cast<std::streamsize>(input.size()));
  }

 private:
  std::filesystem::path directory_;
  std::map<std::string, std::multiset<size_t>> sizes_;
};

// A real socket whose datagrams are kept, as the second and further transports of a session (those
// of its dumps) start counting: with sequence number 1.
class Recorder final : public proxier::netlink::Transport {
 public:
  Recorder(std::unique_ptr<Transport> socket, std::vector<Bytes>& datagrams)
      : socket_(std::move(socket)), kept_(datagrams) {}

  int Send(std::span<const uint8_t> bytes) override { return socket_->Send(bytes); }
  int Receive(bool wait, std::vector<std::span<const uint8_t>>& datagrams) override {
    const int error = socket_->Receive(wait, datagrams);
    if (error == 0) {
      for (const auto datagram : datagrams) kept_.emplace_back(datagram.begin(), datagram.end());
    }
    return error;
  }
  [[nodiscard]] size_t MessageLimit() const override { return socket_->MessageLimit(); }

 private:
  std::unique_ptr<Transport> socket_;
  std::vector<Bytes>& kept_;
};

void SetSequence(Bytes& datagram) {
  constexpr uint32_t kFirst = 1;
  for (size_t at = 0; datagram.size() - at >= sizeof(nlmsghdr);) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data() + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size() - at) return;
    std::memcpy(datagram.data() + at + offsetof(nlmsghdr, nlmsg_seq), &kFirst, sizeof kFirst);
    at += NLMSG_ALIGN(header.nlmsg_len);
    if (at > datagram.size()) return;
  }
}

Bytes Script(const std::vector<Bytes>& datagrams) {
  Bytes script;
  for (const Bytes& datagram : datagrams) {
    script.push_back(static_cast<uint8_t>(datagram.size() & 0xff));
    script.push_back(static_cast<uint8_t>(datagram.size() >> 8));
    script.insert(script.end(), datagram.begin(), datagram.end());
  }
  return script;
}

class Capture {
 public:
  explicit Capture(Corpus& corpus) : corpus_(corpus) {}

  // The records of one dump; its datagrams go to the targets `dump` and `target`: by message, or
  // whole for a target that reads datagrams.
  std::vector<Bytes> Read(DumpKind kind, const std::string& target, const Bytes& argument = {}) {
    // A session of its own, so that no transport is used twice.
    Session session([this](int protocol) -> proxier::netlink::Opened {
      proxier::netlink::Opened opened = proxier::netlink::Socket::Open(protocol, 5000);
      if (opened.transport == nullptr) return opened;
      return {std::make_unique<Recorder>(std::move(opened.transport), datagrams_), 0};
    });
    datagrams_.clear();
    proxier::OpenedDump opened = session.OpenDump(kind, argument);
    if (opened.dump == nullptr) {
      std::fprintf(stderr, "dump %d: %d\n", static_cast<int>(kind), opened.error);
      return {};
    }
    for (Bytes& datagram : datagrams_) SetSequence(datagram);
    corpus_.Add("questions", Script(datagrams_));
    datagrams_.clear();
    Bytes all;
    for (size_t before = 1; before != all.size();) {
      before = all.size();
      if (opened.dump->Next(all) != 0) break;
    }
    for (Bytes& datagram : datagrams_) {
      SetSequence(datagram);
      Keep(target, datagram);
    }
    Bytes dump = {static_cast<uint8_t>(kind), static_cast<uint8_t>(argument.size())};
    dump.insert(dump.end(), argument.begin(), argument.end());
    const Bytes script = Script(datagrams_);
    dump.insert(dump.end(), script.begin(), script.end());
    corpus_.Add("dump", dump);
    return Split(all);
  }

 private:
  void Keep(const std::string& target, const Bytes& datagram) {
    if (target.empty()) return;
    if (target == "ipset_entries") corpus_.Add(target, datagram);
    proxier::netlink::ForEachMessage(datagram,
                                     [&](const nlmsghdr& header, std::span<const uint8_t> payload) {
                                       if (header.nlmsg_type < NLMSG_MIN_TYPE) return;
                                       if (target == "conntrack") {
                                         // Without a filter.
                                         Bytes input = {0};
                                         input.insert(input.end(), payload.begin(), payload.end());
                                         corpus_.Add(target, input);
                                       } else if (target != "ipset_entries") {
                                         corpus_.Add(target, payload);
                                       }
                                       const size_t head = target == "link"      ? sizeof(ifinfomsg)
                                                           : target == "address" ? sizeof(ifaddrmsg)
                                                                                 : 4;
                                       if (payload.size() > head)
                                         corpus_.Add("attributes", payload.subspan(head));
                                     });
  }

  static std::vector<Bytes> Split(const Bytes& records) {
    std::vector<Bytes> split;
    for (size_t at = 0; records.size() - at >= proxier::kHeaderBytes;) {
      const size_t length = static_cast<size_t>(records[at] | records[at + 1] << 8);
      split.emplace_back(records.begin() + static_cast<std::ptrdiff_t>(at),
                         records.begin() + static_cast<std::ptrdiff_t>(at + length));
      at += length;
    }
    return split;
  }

  Corpus& corpus_;
  std::vector<Bytes> datagrams_;
};

// A set's name is its record's last field, a counted string. Records are padded to four bytes.
Bytes NameOf(const Bytes& record) {
  for (size_t at = proxier::kHeaderBytes; at < record.size(); at++) {
    const size_t length = record[at];
    const std::string_view rest(reinterpret_cast<const char*>(record.data()) + at + 1,
                                record.size() - at - 1);
    if (rest.starts_with("CORPUS-") && rest.size() >= length) {
      Bytes name;
      proxier::RecordWriter writer(name);
      writer.Begin(proxier::Opcode::kFlushSet);
      writer.String(rest.substr(0, length));
      writer.End();
      return name;
    }
  }
  return {};
}

void Table(Corpus& corpus) {
  std::ifstream text("/proc/net/ip_vs", std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(text), {});
  for (const uint8_t piece : {uint8_t{7}, uint8_t{255}}) {
    Bytes input = {piece};
    input.insert(input.end(), whole.begin(), whole.end());
    corpus.Add("ipvs_table", input);
  }
}

void Batches(Corpus& corpus) {
  Bytes all = {0};
  for (const Bytes& record : proxier::test::AllOperations()) {
    Bytes one = {0};
    one.insert(one.end(), record.begin(), record.end());
    corpus.Add("operations", one);
    if (record[2] == static_cast<uint8_t>(proxier::Opcode::kRemoveConnection))
      corpus.Add("conntrack_removal", record);
    if (all.size() + record.size() < kInputBytes)
      all.insert(all.end(), record.begin(), record.end());
  }
  corpus.Add("operations", all);
}

// What the kernel says to a batch of which some operations fail: removing what is not there, adding
// twice.
void Answers(Corpus& corpus) {
  proxier::netlink::Opened opened = proxier::netlink::Socket::Open(NETLINK_ROUTE, 5000);
  if (opened.transport == nullptr) return;
  std::vector<Bytes> datagrams;
  Recorder recorder(std::move(opened.transport), datagrams);
  proxier::netlink::Exchange exchange;
  std::vector<int32_t> results(8);
  std::vector<proxier::netlink::OperationText> texts;
  proxier::netlink::ExchangeStats stats;
  for (uint32_t i = 0; i < 8; i++) {
    proxier::netlink::MessageWriter& writer =
        exchange.Begin(i, RTM_NEWADDR, i % 2 == 0 ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_EXCL);
    ifaddrmsg body{};
    body.ifa_family = AF_INET;
    body.ifa_prefixlen = i == 3 ? 77 : 32;
    body.ifa_index = i == 4 ? 4711 : 1;
    writer.Raw(&body, sizeof body);
    writer.PutBytes(IFA_LOCAL, i == 5 ? std::span<const uint8_t>() : proxier::test::kFour);
    exchange.End();
  }
  exchange.Flush(recorder, results, texts, stats);
  corpus.Add("answers", Script(datagrams));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: capture DIRECTORY\n", stderr);
    return 2;
  }
  Corpus corpus(argv[1]);
  Capture capture(corpus);
  for (Bytes& service : capture.Read(DumpKind::kServices, "ipvs_service")) {
    capture.Read(DumpKind::kDestinations, "ipvs_destination", service);
    capture.Read(DumpKind::kDestinationsWithStatistics, "ipvs_answers", service);
  }
  capture.Read(DumpKind::kServicesWithStatistics, "ipvs_answers");
  capture.Read(DumpKind::kTimeouts, "ipvs_answers");
  capture.Read(DumpKind::kInfo, "ipvs_answers");
  capture.Read(DumpKind::kTable, "");
  Table(corpus);
  for (const Bytes& set : capture.Read(DumpKind::kSets, "ipset_set")) {
    const Bytes name = NameOf(set);
    if (!name.empty()) capture.Read(DumpKind::kEntries, "ipset_entries", name);
  }
  capture.Read(DumpKind::kLinks, "link");
  capture.Read(DumpKind::kAddresses, "address");
  capture.Read(DumpKind::kLocalRoutes, "local_route");
  Bytes no_filter;
  proxier::RecordWriter writer(no_filter);
  writer.Begin(proxier::Opcode::kRemoveConnection);
  for (int i = 0; i < 88; i++) writer.U8(0);
  writer.End();
  capture.Read(DumpKind::kConnections, "conntrack", no_filter);
  Batches(corpus);
  Answers(corpus);
  return 0;
}
