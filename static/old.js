// For browsers that cannot run the client at all; therefore in the JavaScript of 2009. Module scripts have run when the
// load event comes: if there is no window.parley then, there will be none.
window.addEventListener("load", function () {
  if ("parley" in window) return;
  var old = document.getElementById("too-old");
  if (old) old.hidden = false;
});
