#include "native/ipvs/table_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>

namespace proxier::ipvs {
namespace {

// Lines of the kernel are shorter than half of this.
constexpr size_t kLineLimit = 256;
// The kernel gives a page at a time, or one service if that is longer.
constexpr size_t kReadBytes = 64 * 1024;

class File {
 public:
  explicit File(const char* path) : fd_(open(path, O_RDONLY | O_CLOEXEC)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

bool SameFile(int left, int right) {
  struct stat a {};
  struct stat b {};
  return fstat(left, &a) == 0 && fstat(right, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

constexpr char kNamespace[] = "/proc/thread-self/ns/net";

// Takes the next field, without the blanks around it.
std::string_view Field(std::string_view& line) {
  const size_t start = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(start);
  const size_t length = std::min(line.find(' '), line.size());
  const std::string_view field = line.substr(0, length);
  line.remove_prefix(length);
  return field;
}

// Digits and nothing else, in range. A table is a hundred thousand numbers: std::from_chars takes
// twice as long.
template <typename T, uint64_t kBase>
std::optional<T> Number(std::string_view text) {
  uint64_t value = 0;
  if (text.empty() || text.size() > 16) return std::nullopt;
  for (const char c : text) {
    const uint64_t lower = static_cast<uint8_t>(c) | 0x20U;
    const uint64_t digit = lower >= 'a'           ? lower - 'a' + 10
                           : c >= '0' && c <= '9' ? lower - '0'
                                                  : kBase;
    if (digit >= kBase) return std::nullopt;
    value = value * kBase + digit;
  }
  if (value > std::numeric_limits<T>::max()) return std::nullopt;
  return static_cast<T>(value);
}

struct Endpoint {
  uint8_t family;
  uint16_t port;
  std::array<uint8_t, kAddressBytes> address;
};

// `0A600001:0050` or `[fd00:0000:0000:0000:0000:0000:0000:0001]:0050`.
std::optional<Endpoint> ReadEndpoint(std::string_view text) {
  Endpoint endpoint{};
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<uint16_t> port = Number<uint16_t, 16>(text.substr(colon + 1));
  if (!port) return std::nullopt;
  endpoint.port = *port;
  const std::string_view host = text.substr(0, colon);
  if (host.size() == 8) {
    const std::optional<uint32_t> value = Number<uint32_t, 16>(host);
    if (!value) return std::nullopt;
    endpoint.family = 4;
    for (size_t i = 0; i < 4; i++)
      endpoint.address[i] = static_cast<uint8_t>(*value >> (24 - 8 * i));
    return endpoint;
  }
  // Brackets, eight groups of four digits, seven colons.
  if (host.size() != 41 || host.front() != '[' || host.back() != ']') return std::nullopt;
  endpoint.family = 6;
  for (size_t group = 0; group < 8; group++) {
    const std::optional<uint16_t> value = Number<uint16_t, 16>(host.substr(1 + 5 * group, 4));
    if (!value || (group < 7 && host[5 + 5 * group] != ':')) return std::nullopt;
    endpoint.address[2 * group] = static_cast<uint8_t>(*value >> 8);
    endpoint.address[2 * group + 1] = static_cast<uint8_t>(*value);
  }
  return endpoint;
}

// ip_vs_proto_name(). 255 stands for what is no protocol, as in the records of a dump.
std::optional<uint8_t> ReadProtocol(std::string_view name) {
  if (name == "TCP") return uint8_t{6};
  if (name == "UDP") return uint8_t{17};
  if (name == "SCTP") return uint8_t{132};
  if (name == "ICMP") return uint8_t{1};
  if (name == "ICMPv6") return uint8_t{58};
  if (name == "IP") return uint8_t{255};
  if (!name.starts_with("IP_")) return std::nullopt;
  return Number<uint8_t, 10>(name.substr(3));
}

}  // namespace

TableText OpenTableText() {
  auto home = std::make_shared<const File>(kNamespace);
  return [home = std::move(home)](const std::function<void(std::span<const char>)>& sink) {
    // The path leads into the namespace that the thread is in now.
    if (home->fd() < 0 || !SameFile(home->fd(), File(kNamespace).fd())) return false;
    const File file("/proc/thread-self/net/ip_vs");
    if (file.fd() < 0) return false;
    const std::unique_ptr<char[]> buffer(new char[kReadBytes]);
    for (;;) {
      const ssize_t got = read(file.fd(), buffer.get(), kReadBytes);
      if (got == 0) return true;
      if (got > 0) {
        sink({buffer.get(), static_cast<size_t>(got)});
      } else if (errno != EINTR) {
        return false;
      }
    }
  };
}

void TableParser::Feed(std::span<const char> piece) {
  std::string_view text(piece.data(), piece.size());
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view part = text.substr(0, end);
    if (rest_.size() + part.size() > kLineLimit) {
      skipping_ = true;
      rest_.clear();
    } else if (end == std::string_view::npos || !rest_.empty()) {
      rest_.append(part);
    }
    if (end == std::string_view::npos) return;
    if (skipping_) {
      // Whatever it was, what follows it is not known to belong to the service before it.
      within_ = false;
    } else {
      Line(rest_.empty() ? part : std::string_view(rest_));
    }
    skipping_ = false;
    rest_.clear();
    text.remove_prefix(end + 1);
  }
}

void TableParser::Clear() {
  rest_.clear();
  skipping_ = false;
  within_ = false;
  services_.clear();
  destinations_.clear();
}

void TableParser::Line(std::string_view line) {
  if (line.starts_with("  ->")) {
    Destination(line.substr(4));
  } else {
    Service(line);
  }
}

void TableParser::Service(std::string_view line) {
  within_ = false;
  TableService service{};
  service.first = destinations_.size();
  service.plain = true;
  const std::string_view name = Field(line);
  const std::string_view where = Field(line);
  if (name == "FWM") {
    const std::optional<uint32_t> mark = Number<uint32_t, 16>(where);
    if (!mark) return;
    const uint32_t bytes = LittleEndian(*mark);
    std::memcpy(service.key.data() + 4, &bytes, sizeof bytes);
  } else {
    const std::optional<uint8_t> protocol = ReadProtocol(name);
    const std::optional<Endpoint> endpoint = ReadEndpoint(where);
    if (!protocol || !endpoint) return;
    service.key[0] = endpoint->family;
    service.key[1] = *protocol;
    const uint16_t port = LittleEndian(endpoint->port);
    std::memcpy(service.key.data() + 2, &port, sizeof port);
    std::memcpy(service.key.data() + 8, endpoint->address.data(), kAddressBytes);
  }
  services_.push_back(service);
  within_ = true;
}

void TableParser::Destination(std::string_view line) {
  // The column titles look like a destination too.
  if (!within_) return;
  TableService& service = services_.back();
  const std::optional<Endpoint> endpoint = ReadEndpoint(Field(line));
  const std::string_view forward = Field(line);
  // Signed in the kernel: a minus is a count in the midst of a change.
  const std::optional<uint32_t> weight = Number<uint32_t, 10>(Field(line));
  const std::optional<uint32_t> active = Number<uint32_t, 10>(Field(line));
  const std::optional<uint32_t> inactive = Number<uint32_t, 10>(Field(line));
  if (!endpoint || forward != "Masq" || !weight || !active || !inactive) {
    service.plain = false;
    return;
  }
  destinations_.push_back({.address = endpoint->address,
                           .weight = *weight,
                           .active = *active,
                           .inactive = *inactive,
                           .port = endpoint->port,
                           .family = endpoint->family});
  service.count++;
}

}  // namespace proxier::ipvs
