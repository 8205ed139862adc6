// The Node-API face of native/session: arguments are checked, errors are numbers, and nothing is
// thrown but for wrong arguments. One instance per environment (main thread, each worker); no state
// outside of it.
//
// A worker can be terminated at any time. From then on nothing can be made or changed on the
// JavaScript side: what Node-API is asked for comes back empty, and no exception is pending either
// (NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS). To go on with something empty ends the process, so
// every object, array and string made here is looked at before it is used.
#include <napi.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "native/addon/netns.h"
#include "native/netlink/socket.h"
#include "native/session/session.h"
#include "native/wire.h"

namespace proxier::addon {
namespace {

// Codes that Dump.next returns are negative, beside byte counts: an errno as -errno, the outcomes
// of wire.h moved out of their way.
constexpr int32_t kOutcomeBase = -1000000;
// Numbers between that are no kind of dump are refused by the session.
constexpr uint32_t kLastDumpKind = 49;
int32_t DumpCode(int32_t error) { return error > 0 ? -error : kOutcomeBase + error; }

bool IsBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

bool IsNumbers(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array;
}

std::span<uint8_t> Bytes(const Napi::Value& value) {
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ElementLength()};
}

std::span<int32_t> Numbers(const Napi::Value& value) {
  auto array = value.As<Napi::Int32Array>();
  return {array.Data(), array.ElementLength()};
}

Napi::Value WrongArguments(Napi::Env env, const char* expected) {
  Napi::TypeError::New(env, expected).ThrowAsJavaScriptException();
  return env.Undefined();
}

// [index, text, ...]
Napi::Value Texts(Napi::Env env, const std::vector<netlink::OperationText>& texts) {
  const Napi::Array array = Napi::Array::New(env);
  if (array.IsEmpty()) return env.Undefined();
  uint32_t at = 0;
  for (const netlink::OperationText& text : texts) {
    const Napi::Number index = Napi::Number::New(env, text.operation);
    const Napi::String words = Napi::String::New(env, text.text);
    if (index.IsEmpty() || words.IsEmpty() || !array.Set(at++, index) || !array.Set(at++, words))
      return env.Undefined();
  }
  return array;
}

}  // namespace

// next(buffer) -> bytes written, 0 at the end, or a negative code; close()
class DumpWrap : public Napi::ObjectWrap<DumpWrap> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "Dump",
        {InstanceMethod<&DumpWrap::Next>("next"), InstanceMethod<&DumpWrap::Close>("close")});
  }

  explicit DumpWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DumpWrap>(info) {}

  void Hold(std::unique_ptr<Slices> dump) { dump_ = std::move(dump); }

 private:
  Napi::Value Next(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (info.Length() != 1 || !IsBytes(info[0]))
      return WrongArguments(env, "next(buffer: Uint8Array)");
    if (dump_ == nullptr) return Napi::Number::New(env, 0);
    const std::span<uint8_t> buffer = Bytes(info[0]);
    slice_.clear();
    const int32_t error = dump_->Next(slice_);
    if (error != 0) return Napi::Number::New(env, DumpCode(error));
    if (slice_.size() > buffer.size()) return Napi::Number::New(env, DumpCode(EMSGSIZE));
    if (!slice_.empty()) std::memcpy(buffer.data(), slice_.data(), slice_.size());
    return Napi::Number::New(env, static_cast<double>(slice_.size()));
  }

  void Close(const Napi::CallbackInfo&) { dump_.reset(); }

  std::unique_ptr<Slices> dump_;
  std::vector<uint8_t> slice_;
};

class Addon;

// run(records, length, results, stats) -> undefined | [index, text, ...]; dump(kind, argument,
// length, idle) -> Dump | code; close()
class SessionWrap : public Napi::ObjectWrap<SessionWrap> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "Session",
        {InstanceMethod<&SessionWrap::Run>("run"), InstanceMethod<&SessionWrap::OpenDump>("dump"),
         InstanceMethod<&SessionWrap::Close>("close")});
  }

  // Never throws, and makes a closed session of wrong arguments: an object whose constructor has
  // thrown is deleted by node-addon-api at once, and, when a worker is being terminated and its
  // JavaScript side can be told no more, once again with that side.
  explicit SessionWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SessionWrap>(info) {
    // Empty: the worker is being terminated, nothing is tied to this object, and so nobody will
    // ever delete it.
    if (IsEmpty() || info.Length() != 1 || !info[0].IsNumber()) return;
    const int timeout_ms = info[0].As<Napi::Number>().Int32Value();
    session_ = std::make_unique<Session>(
        [timeout_ms](int protocol) { return netlink::Socket::Open(protocol, timeout_ms); },
        ipvs::OpenTableText());
  }

 private:
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (info.Length() != 4 || !IsBytes(info[0]) || !info[1].IsNumber() || !IsNumbers(info[2]) ||
        !IsNumbers(info[3])) {
      return WrongArguments(
          env, "run(records: Uint8Array, length, results: Int32Array, stats: Int32Array)");
    }
    const std::span<const uint8_t> bytes = Bytes(info[0]);
    const size_t length = info[1].As<Napi::Number>().Uint32Value();
    const std::span<int32_t> stats = Numbers(info[3]);
    if (session_ == nullptr || length > bytes.size() || stats.size() < 3) {
      return WrongArguments(
          env, "an open session of new Session(timeoutMs), a length within the records, three stats");
    }
    RunReport report;
    const auto start = std::chrono::steady_clock::now();
    session_->Run(bytes.first(length), Numbers(info[2]), report);
    const auto took = std::chrono::steady_clock::now() - start;
    stats[0] = static_cast<int32_t>(report.stats.messages);
    stats[1] = static_cast<int32_t>(report.stats.round_trips);
    stats[2] =
        static_cast<int32_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
    if (report.texts.empty()) return env.Undefined();
    return Texts(env, report.texts);
  }

  Napi::Value OpenDump(const Napi::CallbackInfo& info);

  void Close(const Napi::CallbackInfo&) { session_.reset(); }

  std::unique_ptr<Session> session_;
};

class Addon : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    const Napi::Function dump = DumpWrap::Define(env);
    const Napi::Function session = SessionWrap::Define(env);
    if (dump.IsEmpty() || session.IsEmpty()) return;
    dump_ = Napi::Persistent(dump);
    DefineAddon(exports, {InstanceValue("Session", session, napi_enumerable),
                          InstanceMethod<&Addon::EnterNamespace>("enterNetns", napi_enumerable)});
  }

  // enterNetns(path) -> 0, an errno, or what native/addon/netns.h says
  Napi::Value EnterNamespace(const Napi::CallbackInfo& info) {
    if (info.Length() != 1 || !info[0].IsString()) {
      return WrongArguments(info.Env(), "enterNetns(path: string)");
    }
    return Napi::Number::New(info.Env(), EnterNetns(info[0].As<Napi::String>().Utf8Value()));
  }

  Napi::Object NewDump() { return dump_.New({}); }
  bool IsDump(const Napi::Value& value) {
    return value.IsObject() && value.As<Napi::Object>().InstanceOf(dump_.Value());
  }

 private:
  Napi::FunctionReference dump_;
};

Napi::Value SessionWrap::OpenDump(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* addon = env.GetInstanceData<Addon>();
  if (info.Length() != 4 || !info[0].IsNumber() || !IsBytes(info[1]) || !info[2].IsNumber() ||
      !(info[3].IsUndefined() || addon->IsDump(info[3]))) {
    return WrongArguments(env,
                          "dump(kind: number, argument: Uint8Array, length: number, idle?: Dump)");
  }
  const uint32_t kind = info[0].As<Napi::Number>().Uint32Value();
  const std::span<const uint8_t> argument = Bytes(info[1]);
  const size_t length = info[2].As<Napi::Number>().Uint32Value();
  if (session_ == nullptr || kind < static_cast<uint32_t>(DumpKind::kServices) ||
      kind > kLastDumpKind || length > argument.size()) {
    return WrongArguments(
        env,
        "an open session of new Session(timeoutMs), a kind of dump, a length within the argument");
  }
  OpenedDump opened = session_->OpenDump(static_cast<DumpKind>(kind), argument.first(length));
  if (opened.dump == nullptr) return Napi::Number::New(env, DumpCode(opened.error));
  // An audit reads ten thousand dumps; one object serves them all.
  const Napi::Object object = info[3].IsUndefined() ? addon->NewDump() : info[3].As<Napi::Object>();
  if (object.IsEmpty() || env.IsExceptionPending()) return env.Undefined();
  DumpWrap* wrap = DumpWrap::Unwrap(object);
  if (wrap == nullptr) return env.Undefined();
  wrap->Hold(std::move(opened.dump));
  return object;
}

}  // namespace proxier::addon

using proxier::addon::Addon;
NODE_API_ADDON(Addon)
