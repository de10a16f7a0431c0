// Looking into JSON text without building a tree: the outline is checked, parts are handed out as slices of the text.
//
// The guard in front of the real parser (depth, size, balance), and the quick way to a watch event's type and object or
// to the items of a list. Input is untrusted. Threads: any. Failure: kInvalidArgument with the offset.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "absl/status/status.h"

namespace burstlet::kube {

/// An API server answers no larger object than this (etcd's limit is 1.5 MiB; lists are paged).
inline constexpr std::size_t kMaxJsonBytes = std::size_t{16} << 20;
/// Deeper than any API object; JSONSchemaProps may nest, but a node reads none.
inline constexpr int kMaxJsonDepth = 100;

/// Brackets and strings are balanced, depth is bounded, one value and nothing after it. Size is the caller's to limit.
absl::Status CheckJsonOutline(std::string_view text);

/// Calls `visit(key, value)` with the raw slices of an object's members, until it returns false. The key is without
/// its quotes and not unescaped; the value's inside is not checked. Not an object: an error.
absl::Status VisitJsonMembers(std::string_view object,
                              const std::function<bool(std::string_view, std::string_view)>& visit);

/// The same for the elements of an array.
absl::Status VisitJsonElements(std::string_view array, const std::function<bool(std::string_view)>& visit);

}  // namespace burstlet::kube
