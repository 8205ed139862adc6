// Records of every operation, as lib/kernel/encode.ts writes them.
#ifndef IPVS_PROXIER_TEST_SAMPLES_H_
#define IPVS_PROXIER_TEST_SAMPLES_H_

#include <string_view>
#include <vector>

#include "native/wire.h"

namespace proxier::test {

inline constexpr uint8_t kFour[4] = {10, 96, 0, 10};
inline constexpr uint8_t kSix[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10};
inline std::span<const uint8_t> AddressOf(uint8_t family) {
  return family == 4 ? std::span<const uint8_t>(kFour) : std::span<const uint8_t>(kSix);
}

inline void Key(RecordWriter& writer, uint8_t family, uint8_t protocol) {
  writer.U8(family);
  writer.U8(protocol);
  writer.U16(protocol == 0 ? 0 : 8080);
  writer.U32(protocol == 0 ? 4711 : 0);
  writer.Address(protocol == 0 ? std::span<const uint8_t>() : AddressOf(family));
}

inline void Service(RecordWriter& writer, Opcode opcode, uint8_t family, uint8_t protocol,
                    uint32_t prefix) {
  writer.Begin(opcode);
  Key(writer, family, protocol);
  writer.U32(5);
  writer.U32(10800);
  writer.U32(prefix);
  writer.String("wrr");
  writer.String("sip");
  writer.End();
}

inline void ServiceId(RecordWriter& writer, Opcode opcode, uint8_t family,
                      uint8_t protocol = 6) {
  writer.Begin(opcode);
  Key(writer, family, protocol);
  writer.End();
}

inline void DestinationBody(RecordWriter& writer, uint8_t family) {
  writer.U8(family);
  writer.U8(3);
  writer.U16(9090);
  writer.U32(7);
  writer.U32(100);
  writer.U32(50);
  writer.Address(AddressOf(family));
  writer.U8(1);
  writer.U8(3);
  writer.U16(6080);
}

inline void Destination(RecordWriter& writer, Opcode opcode, uint8_t family) {
  writer.Begin(opcode);
  Key(writer, family, 17);
  DestinationBody(writer, family);
  writer.End();
}

inline void DestinationId(RecordWriter& writer, Opcode opcode, uint8_t family) {
  writer.Begin(opcode);
  Key(writer, family, 17);
  writer.U8(family);
  writer.U8(0);
  writer.U16(9090);
  writer.Address(AddressOf(family));
  writer.End();
}

inline void Set(RecordWriter& writer, Opcode opcode, SetType type, uint8_t family) {
  writer.Begin(opcode);
  writer.U8(static_cast<uint8_t>(type));
  writer.U8(family);
  writer.U8(kSetTimeout | kSetComment);
  writer.U8(0);
  writer.U32(4096);
  writer.U32(70000);
  writer.U32(300);
  writer.String("KUBE-CLUSTER-IP");
  writer.End();
}

inline void Names(RecordWriter& writer, Opcode opcode, std::string_view name,
                  std::string_view other = {}) {
  writer.Begin(opcode);
  writer.String(name);
  if (!other.empty()) writer.String(other);
  writer.End();
}

inline void EntryBody(RecordWriter& writer, SetType type, uint8_t family) {
  const bool ports =
      type != SetType::kHashIp && type != SetType::kHashNet && type != SetType::kHashNetIface;
  const bool net = type == SetType::kHashNet || type == SetType::kHashNetIface ||
                   type == SetType::kHashIpPortNet;
  writer.U8(static_cast<uint8_t>(type));
  writer.U8(family);
  writer.U8(ports && type != SetType::kBitmapPort ? 132 : 0);
  writer.U8(net ? 24 : family == 4 ? 32 : 128);
  writer.U16(ports ? 80 : 0);
  writer.U16(0);
  if (type != SetType::kBitmapPort) writer.Address(AddressOf(family));
  if (type == SetType::kHashIpPortIp || type == SetType::kHashIpPortNet)
    writer.Address(AddressOf(family));
}

inline void EntryOptions(RecordWriter& writer, SetType type, uint8_t flags) {
  if (type == SetType::kHashNetIface) writer.String("eth0");
  if ((flags & kEntryTimeout) != 0) writer.U32(86400);
  if ((flags & kEntryComment) != 0) writer.String("who put this here");
}

inline void Entry(RecordWriter& writer, Opcode opcode, SetType type, uint8_t family,
                  uint8_t flags) {
  writer.Begin(opcode, flags);
  EntryBody(writer, type, family);
  writer.String("KUBE-CLUSTER-IP");
  EntryOptions(writer, type, flags);
  writer.End();
}

inline void LinkAddress(RecordWriter& writer, Opcode opcode, uint8_t family,
                        std::string_view link) {
  writer.Begin(opcode);
  writer.U8(family);
  writer.U8(family == 4 ? 32 : 128);
  writer.U8(254);
  writer.U8(family == 4 ? kAddressNoPrefixRoute : kAddressNoDad | kAddressNoPrefixRoute);
  writer.Address(AddressOf(family));
  writer.U32(3600);
  writer.U32(0);
  writer.String(link);
  writer.End();
}

inline void LocalRouteBody(RecordWriter& writer, uint8_t family, uint8_t owner, bool source) {
  writer.U8(family);
  writer.U8(family == 4 ? 32 : 128);
  writer.U8(owner);
  writer.U8(source ? 1 : 0);
  writer.Address(AddressOf(family));
  writer.Address(source ? AddressOf(family) : std::span<const uint8_t>());
}

inline void LocalRoute(RecordWriter& writer, Opcode opcode, uint8_t family, uint8_t owner,
                       bool source) {
  writer.Begin(opcode);
  LocalRouteBody(writer, family, owner, source);
  writer.String("lo");
  writer.End();
}

inline void ConnectionRemoval(RecordWriter& writer, uint8_t family, uint8_t protocol, uint16_t zone,
                              uint32_t id) {
  writer.Begin(Opcode::kRemoveConnection);
  writer.U8(family);
  writer.U8(protocol);
  writer.U16(zone);
  writer.U32(id);
  writer.U32(1);
  writer.U16(4711);
  writer.U16(53);
  writer.Address(AddressOf(family));
  writer.Address(AddressOf(family));
  writer.End();
}

// A filter with the values of a dumped sample.
inline void ConnectionFilter(RecordWriter& writer, uint8_t family, uint8_t protocol,
                             uint16_t fields) {
  writer.Begin(Opcode::kConnectionFilter);
  writer.U8(family);
  writer.U8(protocol);
  writer.U16(fields);
  for (int i = 0; i < 2; i++) {
    writer.U16(4711);
    writer.U16(53);
  }
  writer.U16(9);
  writer.U16(0);
  writer.U32(0x4000);
  writer.U32(0xc000);
  for (int i = 0; i < 4; i++) writer.Address(AddressOf(family == 0 ? 4 : family));
  writer.End();
}

inline constexpr SetType kSetTypes[] = {
    SetType::kHashIp,        SetType::kHashNet,      SetType::kHashIpPort, SetType::kHashIpPortIp,
    SetType::kHashIpPortNet, SetType::kHashNetIface, SetType::kBitmapPort};

// One record each.
inline std::vector<std::vector<uint8_t>> AllOperations() {
  std::vector<std::vector<uint8_t>> all;
  const auto add = [&](auto&& write) {
    std::vector<uint8_t> bytes;
    RecordWriter writer(bytes);
    write(writer);
    all.push_back(std::move(bytes));
  };
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const Opcode opcode :
         {Opcode::kCreateService, Opcode::kUpdateService, Opcode::kEnsureService}) {
      add([&](RecordWriter& writer) { Service(writer, opcode, family, 6, 24); });
      add([&](RecordWriter& writer) { Service(writer, opcode, family, 0, 0); });
    }
    for (const Opcode opcode : {Opcode::kRemoveService, Opcode::kZeroService}) {
      add([&](RecordWriter& writer) { ServiceId(writer, opcode, family); });
      add([&](RecordWriter& writer) { ServiceId(writer, opcode, family, 0); });
    }
    for (const Opcode opcode :
         {Opcode::kCreateDestination, Opcode::kUpdateDestination, Opcode::kEnsureDestination}) {
      add([&](RecordWriter& writer) { Destination(writer, opcode, family); });
    }
    add([&](RecordWriter& writer) { DestinationId(writer, Opcode::kRemoveDestination, family); });
    for (const SetType type : kSetTypes) {
      add([&](RecordWriter& writer) { Set(writer, Opcode::kCreateSet, type, family); });
      add([&](RecordWriter& writer) { Set(writer, Opcode::kEnsureSet, type, family); });
      add([&](RecordWriter& writer) { Entry(writer, Opcode::kAddEntry, type, family, 0); });
      add([&](RecordWriter& writer) {
        Entry(writer, Opcode::kRemoveEntry, type, family, kEntryNomatch);
      });
      add([&](RecordWriter& writer) {
        Entry(writer, Opcode::kAddEntry, type, family, kEntryTimeout | kEntryComment);
      });
      add([&](RecordWriter& writer) { Entry(writer, Opcode::kTestEntry, type, family, 0); });
    }
    add([&](RecordWriter& writer) {
      LinkAddress(writer, Opcode::kAddAddress, family, "kube-ipvs0");
    });
    add([&](RecordWriter& writer) {
      LinkAddress(writer, Opcode::kRemoveAddress, family, "kube-ipvs0");
    });
    add([&](RecordWriter& writer) {
      LinkAddress(writer, Opcode::kEnsureAddress, family, "kube-ipvs0");
    });
    for (const bool source : {false, true}) {
      add([&](RecordWriter& writer) {
        LocalRoute(writer, Opcode::kAddLocalRoute, family, 200, source);
      });
    }
    add([&](RecordWriter& writer) {
      LocalRoute(writer, Opcode::kRemoveLocalRoute, family, 200, false);
    });
    for (const uint8_t protocol : {uint8_t{6}, uint8_t{17}, uint8_t{132}})
      add([&](RecordWriter& writer) { ConnectionRemoval(writer, family, protocol, 9, 7); });
  }
  for (const Opcode opcode : {Opcode::kZeroServices, Opcode::kFlushServices}) {
    add([&](RecordWriter& writer) {
      writer.Begin(opcode);
      writer.End();
    });
  }
  add([](RecordWriter& writer) {
    writer.Begin(Opcode::kSetTimeouts);
    for (const uint32_t seconds : {900U, 120U, 0U}) writer.U32(seconds);
    writer.End();
  });
  add([](RecordWriter& writer) { Names(writer, Opcode::kRemoveSet, "A"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kFlushSet, "A"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kSwapSets, "A", "B"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kRenameSet, "A", "B"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kEnsureLink, "kube-ipvs0"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kRemoveLink, "kube-ipvs0"); });
  return all;
}

}  // namespace proxier::test

#endif  // IPVS_PROXIER_TEST_SAMPLES_H_
