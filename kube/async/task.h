// The coroutine type of the control loop.
//
// Task<T> is a lazy coroutine on an asio executor: it starts when it is awaited or spawned (TaskGroup). Rules that keep
// it safe (CONTRIBUTING.md): parameters by value, no lambda coroutine with captures, one co_await a statement and none
// in a condition, no co_await inside catch.
#pragma once

// Boost 1.74 uses std::exchange without including it.
#include <utility>

#include <boost/asio/awaitable.hpp>

namespace burstlet::kube {

template <typename T>
using Task = boost::asio::awaitable<T>;

}  // namespace burstlet::kube
