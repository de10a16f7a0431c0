#include "cache/puller.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cache/inflate.h"
#include "cache/manifest.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr unsigned kMaxFlights = 16;
constexpr int kMaxIndexDepth = 3;
constexpr std::chrono::milliseconds kPoll(20);  // how soon a caller's cancel flag is seen

/// A blob is as long as the manifest says, not a byte more.
class ExactSource : public ByteSource {
 public:
  ExactSource(ByteSource& from, std::uint64_t size) : from_(from), left_(size), size_(size) {}

  absl::StatusOr<std::span<const std::uint8_t>> Next() override {
    ASSIGN_OR_RETURN(const auto block, from_.Next());
    if (block.size() > left_)
      return absl::DataLossError(absl::StrCat("blob is longer than the ", size_, " bytes that the manifest says"));
    if (block.empty() && left_ > 0) {
      return absl::DataLossError(absl::StrCat("blob ends after ", size_ - left_, " of ", size_, " bytes"));
    }
    left_ -= block.size();
    return block;
  }

 private:
  ByteSource& from_;
  std::uint64_t left_;
  std::uint64_t size_;
};

absl::Status CheckDigest(const std::string& body, const Digest& wanted, const char* what) {
  const Digest found = DigestOf(body, wanted);
  if (found == wanted) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(what, " has the digest ", found.text(), ", not ", wanted.text(), " as asked for"));
}

/// Errors after which other credentials may do better.
bool IsDenied(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) || absl::IsNotFound(status);
}

std::string FlightKey(const ImageRef& ref, const PullRequest& request) {
  std::string secret;
  for (const Credentials& c : request.credentials) {
    for (const std::string* part : {&c.username, &c.password, &c.identity_token, &c.registry_token}) {
      absl::StrAppend(&secret, part->size(), ":", *part);
    }
  }
  return absl::StrCat(ref.Text(), " ", DigestOf(secret).text());
}

}  // namespace

struct Puller::Flight {
  std::string key;
  ImageRef ref;
  std::vector<Credentials> credentials;
  // Guarded by the puller's mutex_:
  int waiters = 0;
  bool abandoned = false;
  bool done = false;
  absl::StatusOr<PullResult> result = absl::UnknownError("not done");
  // Stops the threads of the current attempt: somebody's failure, or nobody waits any more.
  std::atomic<bool> stop{false};
};

/// One try with one set of credentials.
struct Puller::Attempt {
  Attempt(Flight& of, std::unique_ptr<RegistryClient::Repository> from) : flight(of), repository(std::move(from)) {}

  Flight& flight;
  std::unique_ptr<RegistryClient::Repository> repository;
  Digest asked;  // of the manifest or index that the reference names
  Manifest manifest;
  ParsedConfig config;
  std::atomic<std::uint64_t> downloaded{0};
  std::atomic<std::size_t> next_layer{0};
  std::mutex mutex;  // the rest
  std::vector<std::shared_ptr<const Layer>> layers;
  absl::Status failure;
};

Puller::Puller(const RegistryConfig& config, RegistryClient& registry, LayerStore& layers, ImageCatalog& catalog)
    : config_(config), registry_(registry), layers_(layers), catalog_(catalog) {}

Puller::~Puller() {
  std::list<std::thread> threads;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    for (auto& [key, flight] : flights_) {
      flight->abandoned = true;
      flight->stop = true;
    }
    changed_.wait(lock, [this] { return running_ == 0; });
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

absl::StatusOr<PullResult> Puller::Pull(const PullRequest& request) {
  ASSIGN_OR_RETURN(const ImageRef ref, ParseImageRef(request.reference));
  const std::shared_ptr<Flight> flight = Join(ref, request);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!flight->done) {
    if (request.cancelled != nullptr && *request.cancelled) {
      lock.unlock();
      Leave(flight);
      return absl::CancelledError(absl::StrCat("pull of \"", ref.Text(), "\" was cancelled"));
    }
    if (request.cancelled != nullptr) {
      changed_.wait_for(lock, kPoll);
    } else {
      changed_.wait(lock);
    }
  }
  --flight->waiters;
  return flight->result;
}

std::shared_ptr<Puller::Flight> Puller::Join(const ImageRef& ref, const PullRequest& request) {
  const std::string key = FlightKey(ref, request);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = flights_.find(key);
  if (it != flights_.end()) {
    ++it->second->waiters;
    return it->second;
  }
  auto flight = std::make_shared<Flight>();
  flight->key = key;
  flight->ref = ref;
  flight->credentials = request.credentials;
  flight->credentials.emplace_back();  // anonymous comes last
  flight->waiters = 1;
  flights_[key] = flight;
  queue_.push_back(flight);
  if (running_ < kMaxFlights && !stopping_) {
    for (const std::thread::id id : std::exchange(ended_, {})) {
      const auto thread =
          std::find_if(threads_.begin(), threads_.end(), [&](const std::thread& t) { return t.get_id() == id; });
      thread->join();
      threads_.erase(thread);
    }
    ++running_;
    threads_.emplace_back([this] { RunQueue(); });
  }
  return flight;
}

void Puller::Leave(const std::shared_ptr<Flight>& flight) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--flight->waiters > 0 || flight->done) return;
  flight->abandoned = true;
  flight->stop = true;
  // Who comes next starts anew rather than joining something that is being torn down.
  const auto it = flights_.find(flight->key);
  if (it != flights_.end() && it->second == flight) flights_.erase(it);
}

void Puller::RunQueue() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!queue_.empty()) {
    const std::shared_ptr<Flight> flight = queue_.front();
    queue_.pop_front();
    absl::StatusOr<PullResult> result = absl::CancelledError("the pull was cancelled");
    if (!flight->abandoned) {
      lock.unlock();
      result = Run(*flight);
      lock.lock();
    }
    flight->result = std::move(result);
    flight->done = true;
    const auto it = flights_.find(flight->key);
    if (it != flights_.end() && it->second == flight) flights_.erase(it);
    changed_.notify_all();
  }
  --running_;
  ended_.push_back(std::this_thread::get_id());
  changed_.notify_all();
}

absl::StatusOr<PullResult> Puller::Run(Flight& flight) {
  absl::Status first;
  for (const Credentials& credentials : flight.credentials) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (flight.abandoned) return absl::CancelledError("the pull was cancelled");
      flight.stop = false;
    }
    absl::StatusOr<PullResult> result = PullOnce(flight, credentials);
    if (result.ok()) return result;
    if (first.ok()) first = result.status();
    if (!IsDenied(result.status())) {
      first = result.status();
      break;
    }
  }
  layers_.Collect();  // nothing of a failed pull stays
  return WithReason(Annotate(first, absl::StrCat("failed to pull and unpack image \"", flight.ref.Text(), "\"")),
                    "ErrImagePull");
}

absl::StatusOr<PullResult> Puller::PullOnce(Flight& flight, const Credentials& credentials) {
  Attempt attempt(flight, registry_.Open(flight.ref, credentials, &flight.stop));
  std::string selector = flight.ref.Selector();
  for (int depth = 0;; ++depth) {
    if (depth >= kMaxIndexDepth) return absl::InvalidArgumentError("indexes nested too deeply");
    absl::StatusOr<FetchedManifest> fetched = attempt.repository->Manifest(selector);
    if (!fetched.ok()) {
      return Annotate(fetched.status(), absl::StrCat("failed to resolve reference \"", flight.ref.Text(), "\""));
    }
    attempt.downloaded += fetched->body.size();
    const absl::StatusOr<Digest> wanted = Digest::Parse(selector);
    if (wanted.ok()) RETURN_IF_ERROR(CheckDigest(fetched->body, *wanted, "manifest"));
    if (depth == 0) {
      // By our own hash: the registry's Docker-Content-Digest is a claim like any other.
      attempt.asked = wanted.ok() ? *wanted : DigestOf(fetched->body);
      ASSIGN_OR_RETURN(auto present, catalog_.AddName(flight.ref, attempt.asked));
      if (present != nullptr) return PullResult{std::move(present), true, attempt.downloaded};
    }
    absl::StatusOr<std::variant<Manifest, IndexChoice>> parsed = ParseManifest(fetched->body, fetched->content_type);
    if (!parsed.ok()) return Annotate(parsed.status(), absl::StrCat("manifest ", selector));
    if (Manifest* manifest = std::get_if<Manifest>(&*parsed)) {
      attempt.manifest = std::move(*manifest);
      return FetchImage(attempt);
    }
    selector = std::get<IndexChoice>(*parsed).manifest.digest.text();
  }
}

absl::StatusOr<PullResult> Puller::FetchImage(Attempt& attempt) {
  const Descriptor& descriptor = attempt.manifest.config;
  ASSIGN_OR_RETURN(auto response, attempt.repository->Blob(descriptor.digest));
  ASSIGN_OR_RETURN(const std::string body, ReadAll(*response, descriptor.size));
  RETURN_IF_ERROR(CheckDigest(body, descriptor.digest, "image config"));
  attempt.downloaded += body.size();
  ASSIGN_OR_RETURN(attempt.config, ParseConfig(body, attempt.manifest.layers.size()));
  RETURN_IF_ERROR(FetchLayers(attempt));

  ImageRecord record;
  record.id = descriptor.digest;
  record.config = attempt.config.config;
  for (const auto& layer : attempt.layers)
    record.layers.push_back({layer->diff_id, layer->size_bytes, layer->image_sum});
  RETURN_IF_ERROR(layers_.Sync());  // the one barrier: after it, and only then, the record may say "whole"
  PullResult result;
  ASSIGN_OR_RETURN(result.image, catalog_.Add(attempt.flight.ref, attempt.asked, record, std::move(attempt.layers)));
  result.downloaded_bytes = attempt.downloaded;
  Info("Pulled image", {{"image", attempt.flight.ref.Text()},
                        {"digest", attempt.asked.text()},
                        {"downloadedBytes", result.downloaded_bytes}});
  return result;
}

absl::Status Puller::FetchLayers(Attempt& attempt) {
  const std::size_t count = attempt.manifest.layers.size();
  attempt.layers.resize(count);
  const std::size_t workers = std::min<std::size_t>(std::max(config_.parallel_layers, 1u), count);
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < workers; ++i) threads.emplace_back([this, &attempt] { LayerWorker(attempt); });
  LayerWorker(attempt);
  for (std::thread& thread : threads) thread.join();
  return attempt.failure;
}

void Puller::LayerWorker(Attempt& attempt) {
  while (!attempt.flight.stop) {
    const std::size_t index = attempt.next_layer++;
    if (index >= attempt.manifest.layers.size()) return;
    absl::StatusOr<std::shared_ptr<const Layer>> layer = FetchLayer(attempt, index);
    const std::lock_guard<std::mutex> lock(attempt.mutex);
    if (layer.ok()) {
      attempt.layers[index] = *std::move(layer);
      continue;
    }
    if (attempt.failure.ok()) {
      attempt.failure = Annotate(layer.status(), absl::StrCat("layer ", attempt.manifest.layers[index].digest.text()));
    }
    attempt.flight.stop = true;
    return;
  }
  const std::lock_guard<std::mutex> lock(attempt.mutex);
  if (attempt.failure.ok()) attempt.failure = absl::CancelledError("the pull was cancelled");
}

absl::StatusOr<std::shared_ptr<const Layer>> Puller::FetchLayer(Attempt& attempt, std::size_t index) {
  const Digest& diff_id = attempt.config.diff_ids[index];
  {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      if (std::shared_ptr<const Layer> layer = layers_.Find(diff_id)) return layer;
      if (attempt.flight.stop) return absl::CancelledError("the pull was cancelled");
      // Somebody fetches it; if that fails it is this pull's turn, with its own credentials.
      if (layers_in_flight_.insert(diff_id.text()).second) break;
      changed_.wait_for(lock, kPoll);
    }
  }
  absl::StatusOr<std::shared_ptr<const Layer>> layer = Download(attempt, index);
  const std::lock_guard<std::mutex> lock(mutex_);
  layers_in_flight_.erase(diff_id.text());
  changed_.notify_all();
  return layer;
}

absl::StatusOr<std::shared_ptr<const Layer>> Puller::Download(Attempt& attempt, std::size_t index) {
  const Descriptor& descriptor = attempt.manifest.layers[index];
  if (descriptor.size > config_.max_layer_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("blob of ", descriptor.size, " bytes is over the limit"));
  }
  ASSIGN_OR_RETURN(auto response, attempt.repository->Blob(descriptor.digest));
  if (response->content_length() >= 0 && static_cast<std::uint64_t>(response->content_length()) != descriptor.size) {
    return absl::DataLossError(
        absl::StrCat("registry sends ", response->content_length(), " bytes, the manifest says ", descriptor.size));
  }
  ExactSource exact(*response, descriptor.size);
  HashingSource hashed(exact, descriptor.digest.algorithm());
  const std::unique_ptr<ByteSource> tar = Inflate(hashed);
  UnpackLimits limits;
  limits.max_bytes = config_.max_layer_bytes;
  const auto verify = [&]() -> absl::Status {
    const Digest found = hashed.Finish();
    if (found == descriptor.digest) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("blob has the digest ", found.text(), ", not the one asked for"));
  };
  auto layer = layers_.Import(*tar, attempt.config.diff_ids[index], limits, verify, &attempt.flight.stop);
  attempt.downloaded += hashed.count();
  return layer;
}

}  // namespace burstlet::cache
