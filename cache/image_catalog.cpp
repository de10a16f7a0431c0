#include "cache/image_catalog.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

std::string DigestName(const ImageRef& ref, const Digest& manifest) { return ref.Name() + "@" + manifest.text(); }
std::string TagName(const ImageRef& ref) { return ref.Name() + ":" + ref.tag; }

/// For overlayfs, topmost first. A layer that occurs again further down adds nothing there (applying it on top
/// decides everything it says), and overlayfs refuses one directory twice.
std::vector<std::string> Directories(const std::vector<std::shared_ptr<const Layer>>& layers) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (auto it = layers.rbegin(); it != layers.rend(); ++it) {
    if (seen.insert((*it)->directory).second) out.push_back((*it)->directory);
  }
  return out;
}

std::uint64_t TotalSize(const std::vector<std::shared_ptr<const Layer>>& layers) {
  std::uint64_t total = 0;
  std::set<std::string> seen;
  for (const auto& layer : layers) {
    if (seen.insert(layer->directory).second) total += layer->size_bytes;
  }
  return total;
}

}  // namespace

ImageCatalog::~ImageCatalog() = default;

absl::StatusOr<std::unique_ptr<ImageCatalog>> ImageCatalog::Open(const std::string& root, LayerStore& layers) {
  ASSIGN_OR_RETURN(ImageRecords records, ImageRecords::Open(root));
  std::unique_ptr<ImageCatalog> catalog(new ImageCatalog(std::move(records), layers));
  RETURN_IF_ERROR(catalog->Load());
  return catalog;
}

absl::Status ImageCatalog::Load() {
  for (ImageRecord& record : records_.LoadImages()) {
    Entry entry;
    bool whole = true;
    for (const ImageRecord::LayerEntry& layer : record.layers) {
      entry.layers.push_back(layers_.Adopt(layer.diff_id, layer.size_bytes, layer.image_sum));
      whole = whole && entry.layers.back() != nullptr;
    }
    if (!whole) {
      Warn("Dropping an image record whose layers are gone", {{"image", record.id.text()}});
      records_.Remove(record);
      continue;
    }
    entry.pin = std::make_shared<Pin>();
    const std::string id = record.id.text();
    entry.record = std::move(record);
    images_[id] = std::move(entry);
  }
  for (RefRecord& ref : records_.LoadRefs()) {
    if (!images_.contains(ref.id.text())) {
      records_.Remove(ref);
      continue;
    }
    const std::string name = ref.name;
    refs_[name] = std::move(ref);
  }
  for (auto it = images_.begin(); it != images_.end();) {
    const auto current = it++;
    Rebuild(current->first);
    if (!current->second.snapshots.empty()) continue;
    records_.Remove(current->second.record);  // a crash came before its first name
    images_.erase(current);
  }
  layers_.Collect();
  layers_.Sweep();
  return absl::OkStatus();
}

void ImageCatalog::Rebuild(const std::string& id) {
  Entry& entry = images_[id];
  entry.snapshots.clear();
  std::vector<std::string> tags;
  std::vector<const RefRecord*> digests;
  for (const auto& [name, ref] : refs_) {
    if (ref.id.text() != id) continue;
    if (name.find('@') == std::string::npos) {
      tags.push_back(name);
    } else {
      digests.push_back(&ref);
    }
  }
  std::sort(tags.begin(), tags.end());
  for (const RefRecord* ref : digests) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->pin = entry.pin;
    Image& image = snapshot->image;
    image.id = id;
    image.manifest_digest = ref->manifest.text();
    image.repo_digest = ref->name;
    image.repo_tags = tags;
    image.layer_dirs = Directories(entry.layers);
    image.config = entry.record.config;
    image.size_bytes = TotalSize(entry.layers);
    entry.snapshots[ref->name] = std::move(snapshot);
  }
}

const RefRecord* ImageCatalog::Resolve(const std::string& reference) const {
  if (const auto it = refs_.find(reference); it != refs_.end()) return &it->second;
  const absl::StatusOr<ImageRef> ref = ParseImageRef(reference);
  if (!ref.ok()) return nullptr;
  const auto it = refs_.find(ref->digest.empty() ? TagName(*ref) : DigestName(*ref, ref->digest));
  return it == refs_.end() ? nullptr : &it->second;
}

std::shared_ptr<const Image> ImageCatalog::Find(const std::string& reference) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto it = images_.find(reference); it != images_.end()) {
    const auto first = it->second.snapshots.begin();
    if (first == it->second.snapshots.end()) return nullptr;
    return std::shared_ptr<const Image>(first->second, &first->second->image);
  }
  const RefRecord* ref = Resolve(reference);
  return ref == nullptr ? nullptr : Get(ref->name);
}

/// The snapshot a known name stands for; mutex_ is held.
std::shared_ptr<const Image> ImageCatalog::Get(const std::string& name) {
  const RefRecord& ref = refs_.at(name);
  const Entry& entry = images_.at(ref.id.text());
  const std::size_t end = name.find('@') != std::string::npos ? name.find('@') : name.rfind(':');
  const auto it = entry.snapshots.find(absl::StrCat(name.substr(0, end), "@", ref.manifest.text()));
  if (it == entry.snapshots.end()) return nullptr;
  return std::shared_ptr<const Image>(it->second, &it->second->image);
}

std::vector<std::shared_ptr<const Image>> ImageCatalog::List() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::shared_ptr<const Image>> out;
  for (const auto& [id, entry] : images_) {
    for (const auto& [name, snapshot] : entry.snapshots) {
      out.emplace_back(snapshot, &snapshot->image);
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a->repo_digest < b->repo_digest; });
  return out;
}

absl::Status ImageCatalog::WriteNames(const ImageRef& ref, const Digest& manifest, const Digest& id) {
  RETURN_IF_ERROR(records_.Save(RefRecord{DigestName(ref, manifest), id, manifest}));
  if (!ref.digest.empty()) return absl::OkStatus();  // the tag beside a digest is not proven to name it
  return records_.Save(RefRecord{TagName(ref), id, manifest});
}

void ImageCatalog::SetNames(const ImageRef& ref, const Digest& manifest, const Digest& id) {
  refs_[DigestName(ref, manifest)] = RefRecord{DigestName(ref, manifest), id, manifest};
  std::string previous;
  if (ref.digest.empty()) {
    RefRecord& tag = refs_[TagName(ref)];
    previous = tag.id.text();
    tag = RefRecord{TagName(ref), id, manifest};
  }
  Rebuild(id.text());
  if (!previous.empty() && previous != id.text() && images_.contains(previous)) Rebuild(previous);
}

absl::StatusOr<std::shared_ptr<const Image>> ImageCatalog::Add(const ImageRef& ref, const Digest& manifest,
                                                               const ImageRecord& record,
                                                               std::vector<std::shared_ptr<const Layer>> layers) {
  const std::lock_guard<std::mutex> writing(writing_);
  for (const auto& layer : layers) {
    if (!layers_.Has(*layer)) return absl::DataLossError(absl::StrCat("layer ", layer->diff_id.text(), " was damaged"));
  }
  bool known = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    known = images_.contains(record.id.text());
  }
  if (!known) RETURN_IF_ERROR(records_.Save(record));
  const absl::Status named = WriteNames(ref, manifest, record.id);
  if (!named.ok()) {
    if (!known) records_.Remove(record);
    return named;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!known) images_[record.id.text()] = Entry{record, std::move(layers), std::make_shared<Pin>(), {}};
  SetNames(ref, manifest, record.id);
  return Get(DigestName(ref, manifest));
}

absl::StatusOr<std::shared_ptr<const Image>> ImageCatalog::AddName(const ImageRef& ref, const Digest& manifest) {
  const std::lock_guard<std::mutex> writing(writing_);
  Digest id;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = refs_.find(DigestName(ref, manifest));
    if (it == refs_.end()) return std::shared_ptr<const Image>();
    id = it->second.id;
    const auto tag = ref.digest.empty() ? refs_.find(TagName(ref)) : it;
    if (tag != refs_.end() && tag->second.manifest == manifest) return Get(it->first);
  }
  RETURN_IF_ERROR(WriteNames(ref, manifest, id));
  const std::lock_guard<std::mutex> lock(mutex_);
  SetNames(ref, manifest, id);
  return Get(DigestName(ref, manifest));
}

bool ImageCatalog::Pinned(const Entry& entry) {
  for (const auto& [name, snapshot] : entry.snapshots) {
    if (snapshot.use_count() > 1) return true;
  }
  // Snapshots that were replaced meanwhile live on with their holders and hold the pin too.
  return entry.pin.use_count() > static_cast<long>(1 + entry.snapshots.size());
}

std::vector<StoredImage> ImageCatalog::Usage() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<StoredImage> usage;
  for (const auto& [id, entry] : images_) usage.push_back({id, TotalSize(entry.layers), Pinned(entry)});
  return usage;
}

std::vector<RefRecord> ImageCatalog::Detach(const std::string& id, Entry* removed) {
  std::vector<RefRecord> names;
  for (const auto& [name, ref] : refs_) {
    if (ref.id.text() == id) names.push_back(ref);
  }
  for (const RefRecord& ref : names) refs_.erase(ref.name);
  *removed = std::move(images_[id]);
  images_.erase(id);
  return names;
}

void ImageCatalog::RemoveWithLayer(const Digest& diff_id) {
  const std::lock_guard<std::mutex> writing(writing_);
  std::vector<Entry> removed;
  std::vector<RefRecord> names;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> ids;
    for (const auto& [id, entry] : images_) {
      const auto& layers = entry.record.layers;
      if (std::any_of(layers.begin(), layers.end(), [&](const auto& layer) { return layer.diff_id == diff_id; })) {
        ids.push_back(id);
      }
    }
    for (const std::string& id : ids) {
      const std::vector<RefRecord> its_names = Detach(id, &removed.emplace_back());
      names.insert(names.end(), its_names.begin(), its_names.end());
    }
  }
  for (const RefRecord& ref : names) records_.Remove(ref);
  for (const Entry& entry : removed) {
    Warn("An image lost a layer; it is pulled anew when it is needed", {{"image", entry.record.id.text()}});
    records_.Remove(entry.record);
  }
  removed.clear();
  layers_.Collect();
}

absl::Status ImageCatalog::Remove(const std::string& reference) {
  const std::lock_guard<std::mutex> writing(writing_);
  Entry removed;
  std::vector<RefRecord> names;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string id = reference;
    if (!images_.contains(id)) {
      const RefRecord* ref = Resolve(reference);
      if (ref == nullptr) return absl::NotFoundError(absl::StrCat("no image \"", reference, "\""));
      id = ref->id.text();
    }
    Entry& entry = images_[id];
    if (Pinned(entry)) return absl::FailedPreconditionError(absl::StrCat("image \"", reference, "\" is in use"));
    names = Detach(id, &removed);
  }
  for (const RefRecord& ref : names) records_.Remove(ref);
  records_.Remove(removed.record);
  removed.layers.clear();
  layers_.Collect();
  return absl::OkStatus();
}

}  // namespace burstlet::cache
