if (DATA.datasets.length) {
  readAddress();
  choiceBar();
  figures();
  pair();
}
contents();
searches();
tables();
